package telemetry

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sparkrun/runner/record"
	"sparkrun/targets"
	"sparkrun/targets/node"
	"sparkrun/targets/node/sshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// print is samples as lines.
func print(samples []record.Sample) string {
	var b strings.Builder
	for _, s := range samples {
		fmt.Fprintf(&b, "%s %d %.6g\n", s.Name, s.GPU, s.Value)
	}
	return b.String()
}

func TestGPULine(t *testing.T) {
	for line, want := range map[string]string{
		"2026/11/26 07:00:01.250, 0, 45.10, 97, 71, 2405, [N/A], 0x0000000000000000":             "gpu_power_watts 0 45.1\ngpu_utilization_percent 0 97\ngpu_temperature_c 0 71\ngpu_clock_mhz 0 2405\ngpu_clocks_event_reasons 0 0\n",
		"2026/11/26 07:00:01.250, 7, 690.50, 100, 66, 1755, 75012, 0x0000000000000044":           "gpu_power_watts 7 690.5\ngpu_utilization_percent 7 100\ngpu_temperature_c 7 66\ngpu_clock_mhz 7 1755\ngpu_memory_used_bytes 7 7.86558e+10\ngpu_clocks_event_reasons 7 68\n",
		"2026/11/26 07:00:01.250, 1, [Not Supported], [N/A], [N/A], 300, [Unknown Error], [N/A]": "gpu_clock_mhz 1 300\n",
		"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.":          "",
		"2026/11/26 07:00:01.250, -1, 45.10, 97, 71, 2405, [N/A], 0x0":                           "",
		"yesterday, 0, 45.10, 97, 71, 2405, [N/A], 0x0":                                          "",
		"2026/11/26 07:00:01.250, 0, NaN, -4, 1e300, Inf, 1, 0xffffffffffffffff":                 "gpu_memory_used_bytes 0 1.04858e+06\n",
	} {
		samples, _ := gpuLine(line)
		if got := print(samples); got != want {
			t.Errorf("%s\n%swant\n%s", line, got, want)
		}
	}
}

// TestTicks: 100 jiffies pass, of which 25 are idle or wait for a disk; packages take 30 and
// 10 W for half a second, then one counter begins anew.
func TestTicks(t *testing.T) {
	var p procReader
	for _, tick := range []struct{ line, want string }{
		{"10.00 cpu  100 0 50 800 50 0 0 0 7 7 MemTotal: 1000 MemFree: 100 MemAvailable: 400 Cached: 300 SwapTotal: 10 SwapFree: 4 /r0 1000000 /r1 500", "memory_used_bytes -1 614400\nmemory_free_bytes -1 102400\npage_cache_bytes -1 307200\nswap_used_bytes -1 6144\n"},
		{"10.50 cpu  160 0 65 820 55 0 0 0 9 9 MemTotal: 1000 MemFree: 100 MemAvailable: 400 Cached: 300 SwapTotal: 0 SwapFree: 0 /r0 16000000 /r1 5000500", "memory_used_bytes -1 614400\nmemory_free_bytes -1 102400\npage_cache_bytes -1 307200\nswap_used_bytes -1 0\ncpu_utilization_percent -1 75\ncpu_power_watts -1 40\n"},
		{"11.00 cpu  160 0 65 920 55 0 0 0 9 9 /r0 3 /r1 6000500", "cpu_utilization_percent -1 0\n"},
		{"11.50 cpu  10 0 0 10 0 0 0 0", ""}, // a counter that went back tells nothing
		{"garbage", ""}, {"1.0 cpu", ""}, {"-5 cpu 1 1 1 1 1 1 1 1", ""}, {"1e300 cpu 1 1 1 1 1 1 1 1", ""},
	} {
		samples, _ := p.tick(tick.line)
		if got := print(samples); got != tick.want {
			t.Errorf("%s\n%swant\n%s", tick.line, got, tick.want)
		}
	}
}

// TestDelay: the node's clock is 100 s behind ours; lines take 30, 5 and 800 ms on their way.
// Then its clock is set an hour back.
func TestDelay(t *testing.T) {
	const ms = int64(time.Millisecond)
	var d delay
	for _, line := range []struct{ said, came, want int64 }{
		{1000, 101_030, 101_030}, {2000, 102_005, 102_005}, {3000, 103_800, 103_005}, {4000, 104_030, 104_005},
		{4000 - 3_600_000, 105_010, 105_010}, {5000 - 3_600_000, 106_020, 106_010},
	} {
		if got := d.at(time.Duration(line.said*ms), line.came*ms) / ms; got != line.want {
			t.Errorf("said at %d, come at %d: %d, want %d", line.said, line.came, got, line.want)
		}
	}
}

// TestNode samples this machine, and a node over SSH, with a GPU as a GB10 shows it.
func TestNode(t *testing.T) {
	bin := t.TempDir()
	smi := "#!/bin/sh\ncase \"$*\" in *-lms*) while :; do echo \"$(date '+%Y/%m/%d %H:%M:%S.%3N'), 0, 45.00, 97, 86, 1900, [N/A], 0x0\"; sleep 0.1; done ;; esac\n"
	if err := os.WriteFile(filepath.Join(bin, "nvidia-smi"), []byte(smi), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("local", func(t *testing.T) {
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		sampled(t, node.Local{}, "gpu_power_watts", "memory_used_bytes", "cpu_utilization_percent")
	})
	t.Run("ssh", func(t *testing.T) {
		s := sshtest.NewClient(t).Start(t, "spark1", "127.0.0.2", sshtest.Options{})
		n := node.NewSSH(node.SSHOptions{Name: s.Name, Host: s.Name, Lookup: s.Client.Lookup, Origin: "test"})
		defer n.Close()
		sampled(t, n, "memory_used_bytes", "cpu_utilization_percent")
	})
}

// sampled waits until each name was sampled twice, with times in their order, and stops.
func sampled(t *testing.T, n targets.Node, names ...string) {
	t.Helper()
	clock := record.NewClock()
	var mu sync.Mutex
	got := map[string][]int64{}
	enough := make(chan struct{})
	stop, err := Node(t.Context(), n, NodeOptions{
		Name: "n", Interval: 100 * time.Millisecond, GPUs: true, System: true, Clock: clock,
		Mark: targets.Mark{Run: t.TempDir(), Server: "telemetry"},
		Take: func(samples []record.Sample) {
			mu.Lock()
			defer mu.Unlock()
			for _, s := range samples {
				got[s.Name] = append(got[s.Name], s.At)
			}
			for _, name := range names {
				if len(got[name]) < 2 {
					return
				}
			}
			select {
			case <-enough:
			default:
				close(enough)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Errorf("after a minute there is %v", got)
	}
	if err := stop(context.Background()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for name, at := range got {
		if last := at[len(at)-1]; at[0] <= 0 || last > clock.Now() || len(at) > 1 && at[0] >= last {
			t.Errorf("%s was sampled at %v", name, at)
		}
	}
}

func TestNodeThatIsNone(t *testing.T) {
	_, err := Node(t.Context(), broken{}, NodeOptions{Name: "spark1", Interval: time.Second})
	if err == nil || err.Error() != "sample node spark1: no such program" {
		t.Errorf("%v", err)
	}
}

type broken struct{ targets.Node }

func (broken) Start(context.Context, targets.Cmd) (targets.Proc, error) {
	return nil, fmt.Errorf("no such program")
}

// TestServer asks until it is told to stop; what has no answer leaves no sample.
func TestServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	var got []record.Sample
	Server(ctx, ServerOptions{
		Name: "server.a", Interval: time.Millisecond, Clock: record.NewClock(),
		Ask: func(context.Context) (map[string]float64, bool) {
			if asked++; asked == 3 {
				cancel()
			}
			return map[string]float64{"generation_tokens": float64(asked), "requests_running": 1}, asked != 2
		},
		Take: func(s []record.Sample) { got = append(got, s...) },
	})
	want := "generation_tokens -1 1\nrequests_running -1 1\ngeneration_tokens -1 3\nrequests_running -1 1\n"
	if print(got) != want || got[0].From != "server.a" || got[0].At <= 0 || got[0].At != got[1].At {
		t.Errorf("%+v", got)
	}
}

// FuzzNode: whatever a node prints, in whatever pieces, every sample is a number that is not
// negative and has a time that is not after now.
func FuzzNode(f *testing.F) {
	f.Add([]byte("tick 1.0 cpu 1 2 3 4 5 6 7 8 MemTotal: 5 MemAvailable: 2\ntick 2.0 cpu 2 3 4 5 6 7 8 9 MemTotal: 5 MemAvailable: 9 /r 5\n"), 7)
	f.Add([]byte("2026/11/26 07:00:01.250, 0, 45.10, 97, 71, 2405, [N/A], 0x0\n"), 100)
	f.Fuzz(func(t *testing.T, out []byte, piece int) {
		clock := record.NewClock()
		var all []record.Sample
		r := &nodeReader{o: NodeOptions{Name: "n", Clock: clock, Take: func(s []record.Sample) { all = append(all, s...) }}}
		for piece = min(max(1, piece), len(out)+1); len(out) > 0; out = out[min(piece, len(out)):] {
			_, _ = r.Write(out[:min(piece, len(out))])
		}
		for _, s := range all {
			if s.Value < 0 || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.At > clock.Now() || s.From != "n" {
				t.Errorf("%+v", s)
			}
		}
	})
}
