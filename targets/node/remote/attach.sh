# Prints what a program that start.sh started has written, from byte $from on, until it
# ends; then to stderr how: "exit STATUS", or "gone" where nobody knows. Each line of
# standard input says that the program is still wanted.
cd -- "$folder" 2>/dev/null || { echo gone >&2; exit; }
if ! read -r boot <boot || [ "$boot" != "$(cat /proc/sys/kernel/random/boot_id)" ] || ! read -r pid <pid; then
	echo gone >&2
	exit
fi
exec 3<&0 </dev/null
tail -c "+$from" -s 0.1 --pid="$pid" -f log & tail=$!
{
	while IFS= read -r line; do : >alive; done
	kill "$tail"
} <&3 >/dev/null 2>&1 & reader=$!
exec 3<&-
wait "$tail"
kill "$reader" 2>/dev/null
if [ -e "/proc/$pid" ]; then exit; fi
waited=0 # for the watcher, which has seen the end too
while ! [ -e exit ] && [ "$waited" -lt 20 ]; do
	sleep 0.05
	waited=$((waited + 1))
done
if [ -e exit ]; then
	echo "exit $(cat exit)" >&2
else
	echo gone >&2
fi
