# Prints what this node says of itself, a line a tick, until its standard input ends.
#   $1 seconds between ticks, $2 the same in ms, $3 "gpu": ask nvidia-smi too, $4 "node": and /proc
# A line is "tick UPTIME WORD VALUE… …", or one of nvidia-smi's, which begins with its time.
LC_ALL=C
export LC_ALL
tick() {
	read -r up rest </proc/uptime || return
	read -r line </proc/stat || return
	while read -r word value rest; do
		case $word in MemTotal: | MemAvailable: | MemFree: | Cached: | SwapTotal: | SwapFree:) line="$line $word $value" ;; esac
	done </proc/meminfo
	for f in /sys/class/powercap/*-rapl:?/energy_uj; do
		read -r value 2>/dev/null <"$f" && line="$line $f $value"
	done
	echo "tick $up $line"
}
if [ "$3" = gpu ] && command -v nvidia-smi >/dev/null; then
	why=clocks_event_reasons.active
	nvidia-smi --query-gpu=$why --format=csv,noheader >/dev/null 2>&1 || why=clocks_throttle_reasons.active # its name before driver 535
	nvidia-smi --query-gpu=timestamp,index,power.draw,utilization.gpu,temperature.gpu,clocks.sm,memory.used,$why --format=csv,noheader,nounits -lms "$2" &
fi
if [ "$4" = node ]; then
	while :; do
		tick
		sleep "$1"
	done &
fi 2>/dev/null
cat >/dev/null
kill 0
