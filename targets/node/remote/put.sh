# Writes standard input to a new file beside $path and prints its name and size.
mkdir -p -- "$dir" && cd -- "$dir" || exit 91
umask 077
new=$(mktemp "./.$base.XXXXXXXX") || exit 91
if cat >"$new"; then
	echo "$new $(wc -c <"$new")"
else
	rm -f -- "$new"
	exit 91
fi
