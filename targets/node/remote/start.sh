# Starts program, a function (environment sets its variables, $argv0 is its name), so that it goes on when this session ends: in the session of
# this shell, which sshd made, with its output in $folder/log. Prints "started PID TICKS
# SESSION".
#
#   watcher (a subshell)  waits for the program and writes its exit status to exit
#   lease (a subshell)    ends the program when nobody has said for $lease seconds that it
#                         is wanted, by making the file alive ("": it never asks)
mask=$(umask)
umask 077
fail() {
	echo "$1" >&2
	exit 91
}
mkdir -p -- "$folder" && cd -- "$folder" || fail "its folder can't be made"
(environment && command -v -- "$argv0") >/dev/null || fail "there is no such program"
rm -f exit pid stdin
{ : >log && : >alive && cp /proc/sys/kernel/random/boot_id boot; } || fail "its folder can't be written"
if [ -n "$lifeline" ]; then mkfifo stdin || fail "its folder can't be written"; fi
stat_of self

lease() {
	trap 'kill "$nap" 2>/dev/null; exit' TERM
	while :; do
		sleep "$lease" & nap=$!
		wait "$nap"
		if [ -e alive ]; then
			rm -f alive
			continue
		fi
		trap '' TERM
		echo "sparkrun: nobody has asked for this for $lease to $((2 * lease)) s: it is ended" >>log
		kill -TERM $(marked "SPARKRUN_NODE_MARK=$mark") 2>/dev/null
		waited=0
		while [ -n "$(marked "SPARKRUN_NODE_MARK=$mark")" ] && [ "$waited" -lt 100 ]; do
			sleep 0.1
			waited=$((waited + 1))
		done
		kill -KILL $(marked "SPARKRUN_NODE_MARK=$mark") 2>/dev/null
		kill -KILL -- "-$group" 2>/dev/null
		exit
	done
}

group=$pgrp
(
	trap : TERM HUP
	if [ -n "$lifeline" ]; then exec 4<>stdin; else exec 4</dev/null; fi
	holder=
	if [ -n "$lease" ]; then
		lease 4<&- &
		holder=$!
	fi
	(
		if [ -n "$lifeline" ]; then exec <stdin; fi
		exec 4<&-
		read -r me rest </proc/self/stat
		echo "$me" >pid.new && mv pid.new pid
		umask "$mask"
		if [ -n "$language" ]; then LC_ALL=$language; else unset LC_ALL; fi
		program
	) >>log 2>&1
	echo "$?" >exit.new && mv exit.new exit
	if [ -n "$holder" ]; then kill "$holder"; fi
) </dev/null >/dev/null 2>&1 &

waited=0
while ! [ -e pid ]; do
	if [ "$waited" -ge 100 ]; then fail "it did not start: is the disk full?"; fi
	sleep 0.05
	waited=$((waited + 1))
done
pid=$(cat pid)
started=0
stat_of "$pid"
echo "started $pid $started $group"
