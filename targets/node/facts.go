package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	f.GPU = gpuModel("/proc/driver/nvidia")
	f.Driver = DriverVersion(readLine("/proc/driver/nvidia/version"))
	f.MemTotal = meminfo("MemTotal")
	f.MemFree = meminfo("MemAvailable")
	return f, nil
}

// driverVersion is in the first line of /proc/driver/nvidia/version, behind the words for
// the module and the machine: "… for aarch64  580.95.05  Release Build …".
var driverVersion = regexp.MustCompile(`\b\d{3,}\.\d+(\.\d+)?\b`)

// DriverVersion finds the version in that line, "" where there is none.
func DriverVersion(line string) string { return driverVersion.FindString(line) }

// gpuModel is the model of the GPUs that the driver shows in its /proc folder.
func gpuModel(folder string) string {
	files, _ := filepath.Glob(filepath.Join(folder, "gpus", "*", "information"))
	if len(files) == 0 {
		return ""
	}
	return gpuName(field(files[0], "Model"), len(files))
}

// gpuName is how GPUs of a model are called.
func gpuName(model string, count int) string {
	if count > 1 && model != "" {
		return fmt.Sprintf("%d × %s", count, model)
	}
	return model
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

// oomKills is how many processes the kernel has killed for want of memory, 0 where it does
// not say.
func oomKills() uint64 {
	b, _ := os.ReadFile("/proc/vmstat")
	n, _ := strconv.ParseUint(pairs(string(b))["oom_kill"], 10, 64)
	return n
}
