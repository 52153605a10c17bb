# The memory of the node, how many processes the kernel has killed for want of it, and the
# pages of all processes together.
grep -E '^(MemTotal|MemAvailable):' /proc/meminfo
grep '^oom_kill ' /proc/vmstat
cat /proc/[0-9]*/statm 2>/dev/null | {
	sum=0
	while read -r size resident rest; do sum=$((sum + resident)); done
	echo "resident $sum"
}
