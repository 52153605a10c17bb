package container

import (
	"context"
	"strings"
	"testing"

	"sparkrun/targets"
)

// TestName: never what the Python tool of our name takes for its own, and another one for
// a run of the same id elsewhere.
func TestName(t *testing.T) {
	a := Name(targets.Mark{Run: "/x/results/sparkrun_1/one", Server: "server.sparkrun_a~2"})
	if strings.Contains(a, "sparkrun_") || !strings.HasPrefix(a, "sparkrun-server.sparkrun-a-2-") {
		t.Error(a)
	}
	if a == Name(targets.Mark{Run: "/y/results/sparkrun_1/one", Server: "server.sparkrun_a~2"}) {
		t.Error("two runs share a name")
	}
}

func TestBytes(t *testing.T) {
	for s, want := range map[string]int64{"64m": 64 << 20, "32g": 32 << 30, "10.24gb": 10995116277, "100": 100, "2GiB": 2 << 30, "7k": 7 << 10} {
		if got, err := bytesOf(s); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "g", "x", "1t", "-1g", "0", "1gg", "NaN", "Infg"} {
		if got, err := bytesOf(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}

// TestConfig: what the API is asked for is what plan prints.
func TestConfig(t *testing.T) {
	d := &Docker{home: func(context.Context) (string, error) { return "/home/u", nil }}
	l := targets.Launch{Argv: []string{"serve", "a b"}, Image: "i:1", Files: []targets.File{{Name: "f.yml"}}, Container: targets.Container{
		Mounts: []string{"~/.cache:/c", "/m:/m:ro"}, Devices: []string{"/dev/infiniband"}, ShmSize: "1g", Memory: "2g", GPUs: true, Privileged: true, ReplaceEntrypoint: true,
	}}
	config, host, err := d.config(t.Context(), targets.ContainerCmd{Launch: l, Mark: targets.Mark{Run: "/r", Server: "s"}, Dir: "/r/servers/s"})
	if err != nil || strings.Join(config.Entrypoint, "|") != "serve|a b" || config.Cmd != nil || config.Labels["sparkrun.run"] != "/r" || config.Labels["sparkrun.server"] != "s" {
		t.Errorf("%+v, %v", config, err)
	}
	if strings.Join(host.Binds, "|") != "/home/u/.cache:/c|/m:/m:ro|/r/servers/s/f.yml:/etc/sparkrun/f.yml:ro" || host.ShmSize != 1<<30 || host.IpcMode != "private" ||
		host.Memory != 2<<30 || host.MemorySwap != 2<<30 || !host.Privileged || host.DeviceRequests[0].Count != -1 || host.Devices[0].PathOnHost != "/dev/infiniband" || host.NetworkMode != "host" {
		t.Errorf("%+v", host)
	}
	l.Entrypoint = []string{"/init"}
	if config, _, _ := d.config(t.Context(), targets.ContainerCmd{Launch: l}); config.Entrypoint[0] != "/init" || len(config.Cmd) != 2 {
		t.Errorf("%+v", config)
	}
}
