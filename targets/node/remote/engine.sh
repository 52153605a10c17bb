# The socket of the container engine, as the user's $DOCKER_HOST has it, or where Docker and
# podman have theirs.
case ${DOCKER_HOST-} in
unix://*)
	echo "${DOCKER_HOST#unix://}"
	exit
	;;
esac
for socket in /var/run/docker.sock "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/podman/podman.sock" /run/podman/podman.sock; do
	if [ -S "$socket" ]; then
		echo "$socket"
		exit
	fi
done
exit 0
