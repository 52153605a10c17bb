package node

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"sparkrun/targets"
)

// Facts reads what this machine says of itself. What a system doesn't tell stays empty.
func (Local) Facts(context.Context) (targets.Facts, error) {
	f := targets.Facts{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU()}
	f.Hostname, _ = os.Hostname()
	f.Kernel = readLine("/proc/sys/kernel/osrelease")
	f.BootID = readLine("/proc/sys/kernel/random/boot_id")
	f.CPU = field("/proc/cpuinfo", "model name")
	f.GPUs, f.RDMA = HasGPUs(), HasRDMA()
	f.MemTotal = meminfo("MemTotal")
	f.MemFree = meminfo("MemAvailable")
	return f, nil
}

// HasGPUs reports whether this machine has NVIDIA GPUs with their driver.
func HasGPUs() bool {
	_, err := os.Stat("/dev/nvidiactl")
	return err == nil
}

// HasRDMA reports whether this machine has RDMA devices.
func HasRDMA() bool {
	_, err := os.Stat("/dev/infiniband")
	return err == nil
}

func readLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

// field is the value of the first "name : value" line of a /proc file.
func field(path, name string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// meminfo is a value of /proc/meminfo in bytes, 0 where there is none.
func meminfo(name string) uint64 {
	kib, _, _ := strings.Cut(field("/proc/meminfo", name), " ")
	n, _ := strconv.ParseUint(kib, 10, 64)
	return n << 10
}
