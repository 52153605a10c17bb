# Ends the processes with the mark $mark, and those of the session that $pid (started at
# $started) is in: SIGTERM, SIGKILL after $grace tenths of a second, and then proves within
# $limit tenths that they are gone. Where that process is gone, its session $sid counts if
# its number has not been given away.
session=0
if stat_of "$pid" && [ "$started" = "$born" ]; then
	of=$session # of proc_pid_stat(5)
elif [ "$sid" -gt 0 ] && ! [ -e "/proc/$sid" ]; then
	of=$sid
else
	of=0
fi

family() {
	{
		if [ -n "$mark" ]; then marked "SPARKRUN_NODE_MARK=$mark"; fi
		if [ "$of" -gt 0 ]; then
			cat /proc/[0-9]*/stat 2>/dev/null | sed -nE "s/^([0-9]+) \(.*\) [^ZX] [0-9]+ [0-9]+ $of .*/\1/p"
		fi
	} | sort -u
}

# wait_for TENTHS waits until the family is gone, and kills it meanwhile if $signal says so.
wait_for() {
	left=$1
	while all=$(family) && [ -n "$all" ] && [ "$left" -gt 0 ]; do
		if [ -n "$signal" ]; then kill "-$signal" $all 2>/dev/null; fi
		sleep 0.1
		left=$((left - 1))
	done
}

all=$(family)
for process in $all; do describe "$process"; done
signal=
if [ -n "$all" ]; then kill -TERM $all 2>/dev/null; fi
wait_for "$grace"
echo "outlived"
for process in $all; do describe "$process"; done
signal=KILL
wait_for "$limit"
echo "still"
for process in $all; do describe "$process"; done
if [ -n "$folder" ] && [ -z "$all" ]; then rm -rf -- "$folder"; fi
exit 0
