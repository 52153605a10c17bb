# What the node is, in lines of a name and a value.
echo "os $(uname -s)"
echo "arch $(uname -m)"
echo "kernel $(uname -r)"
echo "hostname $(uname -n)"
echo "home $HOME"
echo "page $(getconf PAGESIZE)"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "cores $(nproc)"
grep -E '^(MemTotal|MemAvailable):' /proc/meminfo
grep -m 1 '^model name' /proc/cpuinfo
if [ -e /dev/nvidiactl ]; then echo "gpus yes"; fi
if [ -e /dev/infiniband ]; then echo "rdma yes"; fi
set -- /proc/driver/nvidia/gpus/*/information
if [ -r "$1" ]; then
	echo "gpu_count $#"
	sed -n 's/^Model:[[:space:]]*/gpu_model /p' "$1"
fi
if [ -r /proc/driver/nvidia/version ]; then echo "driver $(head -n 1 /proc/driver/nvidia/version)"; fi
exit 0
