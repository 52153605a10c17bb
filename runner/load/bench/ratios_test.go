//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ratios is what `make bench` sets: without it the comparison, which needs two cores of
// its own for a minute, is left out.
const ratios = "BENCH_RATIOS"

// parts are what BENCH_RATIOS can name; "1" is all.
var parts = []struct {
	name string
	run  func(*bench)
}{{"flood", (*bench).flood}, {"paced", (*bench).paced}, {"errors", (*bench).errors}, {"tls", (*bench).overTLS}, {"open", (*bench).open}, {"poisson", (*bench).poisson}}

// TestRatios prints what a token event costs each client, and how far its times are from
// the server's own. The server has the first core, the client the second.
func TestRatios(t *testing.T) {
	want := os.Getenv(ratios)
	if want == "" {
		t.Skip("a comparison with other clients: make bench")
	}
	b := build(t)
	for _, p := range parts {
		if want == "1" || want == p.name {
			p.run(b)
		}
	}
}

type bench struct {
	t      *testing.T
	dir    string
	python string // "" where there is none with aiohttp
	bin    string // sparkrun
}

// build compiles what is compiled. What is not installed is named and left out.
func build(t *testing.T) *bench {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("skipped: no C compiler (cc) for the server that everybody is measured against")
	}
	if runtime.NumCPU() < 2 {
		t.Skip("skipped: server and client need a core each")
	}
	b := &bench{t: t, dir: t.TempDir()}
	for _, name := range []string{"server", "reader", "open", "floor"} {
		if out, err := exec.Command("cc", "-O2", "-o", filepath.Join(b.dir, name), "testdata/"+name+".c", "-lm").CombinedOutput(); err != nil {
			t.Fatalf("cc %s.c: %v\n%s", name, err, out)
		}
	}
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import aiohttp").Run(); err != nil {
		fmt.Printf("skipped: the Python client (%s has no aiohttp: python3 -m pip install aiohttp, or set PYTHON)\n", python)
	} else {
		b.python = python
	}
	b.bin = filepath.Join(b.dir, "sparkrun")
	if out, err := exec.Command("go", "build", "-o", b.bin, "sparkrun/cmd/sparkrun").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return b
}

// on starts a command on one core.
func on(core int, c *exec.Cmd) error {
	runtime.LockOSThread() // children inherit the thread's
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return c.Start()
}

// serve starts the C server and returns how it is ended.
func (b *bench) serve(chunks, gapUS int, mode string) (port, trace string, stop func()) {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	trace = filepath.Join(b.dir, "trace")
	_, trace, stop = b.started(exec.Command(filepath.Join(b.dir, "server"), port, fmt.Sprint(chunks), fmt.Sprint(gapUS), mode, trace), trace)
	return port, trace, stop
}

// started starts a server on the first core and waits for its first line, which may be
// its port.
func (b *bench) started(c *exec.Cmd, trace string) (port, _ string, stop func()) {
	b.t.Helper()
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = on(0, c)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(line), trace, func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
}

// client runs a client on the second core and returns its output.
func (b *bench) client(c *exec.Cmd) string {
	b.t.Helper()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, os.Stderr
	err := on(1, c)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		b.t.Fatalf("%s: %v", strings.Join(c.Args, " "), err)
	}
	return out.String()
}

// again is this test binary as a client.
func again(spec ...any) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asClient+"="+strings.TrimSuffix(fmt.Sprintln(spec...), "\n"))
	return c
}

// perChunk is µs a chunk, the median of some runs.
func perChunk(runs int, run func() string) float64 {
	var all []float64
	for range runs {
		var n, us float64
		if _, err := fmt.Sscan(run(), &n, &us); err == nil && n > 0 {
			all = append(all, us/n)
		}
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (b *bench) flood() {
	const streams, chunks = 64, 19968
	port, _, stop := b.serve(chunks, 0, "flood")
	defer stop()
	c := perChunk(5, func() string {
		return b.client(exec.Command(filepath.Join(b.dir, "reader"), port, fmt.Sprint(streams)))
	})
	own := perChunk(5, func() string { return b.client(again("own", port, streams, chunks)) })
	whole := perChunk(3, func() string { return b.apply(port, streams, chunks) })
	std := perChunk(3, func() string { return b.client(again("json", port, streams, chunks)) })
	fmt.Printf("\nThe server floods %d streams; CPU of a token event (user and system)\n%-52s %8s %7s\n", streams, "client", "µs", "× C")
	row := func(name string, us float64) { fmt.Printf("%-52s %8.3f %7.1f\n", name, us, us/c) }
	row("C epoll, counts frames", c)
	row("sparkrun: read, stamp, classify, record", own)
	row("sparkrun apply: all of it, with decoding and rows", whole)
	row("Go net/http + encoding/json", std)
	fmt.Printf("sparkrun is 1/%.1f of Go net/http + encoding/json\n", std/own)
	if b.python != "" {
		few, _, stopFew := b.serve(2560, 0, "flood")
		defer stopFew()
		py := perChunk(3, func() string { return b.client(exec.Command(b.python, "testdata/client.py", few, fmt.Sprint(streams))) })
		row("Python aiohttp, as vllm bench serve", py)
		fmt.Printf("sparkrun is 1/%.1f of Python aiohttp\n", py/own)
	}
}

// apply is the whole program on the flood, from its start to its end.
func (b *bench) apply(port string, streams, chunks int) string {
	b.t.Helper()
	rows := filepath.Join(b.dir, "prompts.jsonl")
	if err := os.WriteFile(rows, []byte(strings.Repeat(`{"prompt":"x"}`+"\n", streams)), 0o644); err != nil {
		b.t.Fatal(err)
	}
	s := b.scenario("flood", fmt.Sprintf(`
server "engine" {
  framework = "openai"
  url       = "http://127.0.0.1:%s/v1"
  model     = "m"
}
dataset "short" {
  type = "jsonl"
  path = %q
}
benchmark "flood" {
  server  = server.engine
  dataset = dataset.short
  phase "steady" {
    requests    = %d
    concurrency = %d
  }
}
`, port, rows, streams, streams))
	return fmt.Sprintf("%d %d", streams*chunks, (s.UserTime() + s.SystemTime()).Microseconds())
}

// scenario applies a scenario on the second core; its run's id is its name.
func (b *bench) scenario(name, text string) *os.ProcessState {
	b.t.Helper()
	file := filepath.Join(b.dir, name+".hcl")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	results := filepath.Join(b.dir, "results")
	if err := os.RemoveAll(results); err != nil {
		b.t.Fatal(err)
	}
	c := exec.Command(b.bin, "apply", "-q", "--out", results, "--run-id", "run", file)
	var errs bytes.Buffer
	c.Stdout, c.Stderr = io.Discard, &errs
	if err := on(1, c); err != nil {
		b.t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		b.t.Fatalf("sparkrun apply: %v\n%s", err, errs.String())
	}
	return c.ProcessState
}

// poisson is how late an open loop sends: a C client that does nothing else, and sparkrun.
// The machine's own part is in both: a program that only watches the clock shows it.
func (b *bench) poisson() {
	const rate, seconds = 2000, 20
	fmt.Printf("\nPoisson arrivals, %d a second for %d s, 19 tokens each; lateness of sending, one client core (ms)\n%-52s %8s %8s %8s\n", rate, seconds, "client", "p50", "p99", "max")
	for range 2 {
		late := func(client, program string, args ...string) {
			var p50, p99, most float64
			args = append(args, fmt.Sprint(rate), fmt.Sprint(seconds))
			_, _ = fmt.Sscan(b.client(exec.Command(filepath.Join(b.dir, program), args...)), &p50, &p99, &most)
			fmt.Printf("%-52s %8.3f %8.3f %8.3f\n", client, p50, p99, most)
		}
		late("nothing is sent: C, spins on the clock", "floor")
		port, _, stop := b.serve(19, 30_000, "even")
		late("C epoll, one thread", "open", port)
		stop()
		port, _, stop = b.serve(19, 30_000, "even")
		b.scenario("poisson", fmt.Sprintf(`
server "engine" {
  framework = "openai"
  url       = "http://127.0.0.1:%s/v1"
  model     = "m"
}
dataset "short" {
  type  = "synthetic"
  shape = "D(64,19)"
}
benchmark "open" {
  server  = server.engine
  dataset = dataset.short
  phase "steady" {
    duration = "%ds"
    arrival  = "poisson"
    rate     = %d
  }
}
sink "console" {}
`, port, seconds, rate))
		stop()
		text, err := os.ReadFile(filepath.Join(b.dir, "results", "poisson", "run", "summary.json"))
		if err != nil {
			b.t.Fatal(err)
		}
		var sum struct {
			Cells []struct {
				Metrics map[string]struct{ P50, P99, Max float64 }
			}
		}
		if err := json.Unmarshal(text, &sum); err != nil {
			b.t.Fatal(err)
		}
		lag := sum.Cells[0].Metrics["send_lag_ms"]
		fmt.Printf("%-52s %8.3f %8.3f %8.3f\n", "sparkrun apply", lag.P50, lag.P99, lag.Max)
	}
}

func (b *bench) paced() {
	const streams, chunks = 2000, 100
	port, _, stop := b.serve(chunks, 30_000, "even")
	defer stop()
	c := perChunk(3, func() string {
		return b.client(exec.Command(filepath.Join(b.dir, "reader"), port, fmt.Sprint(streams)))
	})
	own := perChunk(3, func() string { return b.client(again("own", port, streams, chunks)) })
	fmt.Printf("\n%d streams, a token every 30 ms; CPU of a token event\n%-52s %8.3f\n%-52s %8.3f   %.2f × C\n", streams,
		"C epoll, counts frames", c, "sparkrun: read, stamp, classify, record", own, own/c)
}

// errors compares the client's times with the server's.
func (b *bench) errors() {
	fmt.Printf("\nReported − true, on one client core, a token every 30 ms (ms)\n%-8s %-6s %-8s %10s %10s %10s %10s %8s %6s\n",
		"streams", "pace", "stamps", "TTFT p50", "TTFT p99", "TTFT max", "ITL p99", "µs/chunk", "MB")
	for _, kind := range []string{"own", "user"} {
		for _, mode := range []string{"even", "tick"} {
			for _, streams := range []int{64, 512, 2000, 8000} {
				chunks := max(40, 12_000/streams*10)
				chunks = min(chunks, 200)
				port, trace, stop := b.serve(chunks, 30_000, mode)
				file := filepath.Join(b.dir, "times")
				var n, us, kb float64
				_, _ = fmt.Sscan(b.client(again(kind, port, streams, chunks, file)), &n, &us, &kb)
				stop()
				ttft, itl := compare(b.t, trace, file)
				fmt.Printf("%-8d %-6s %-8s %10.4f %10.4f %10.4f %10.4f %8.2f %6.0f\n", streams, mode,
					map[string]string{"own": "kernel", "user": "user"}[kind], at(ttft, 0.5), at(ttft, 0.99), at(ttft, 1), at(itl, 0.99), us/n, kb/1024)
			}
		}
	}
}

// serveTLS starts this test binary as the TLS server, on the first core.
func (b *bench) serveTLS(chunks, gapUS int) (port, trace string, stop func()) {
	b.t.Helper()
	trace = filepath.Join(b.dir, "trace")
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asClient+"="+fmt.Sprintf("tlsserver %d %d %s", chunks, gapUS, trace))
	return b.started(c, trace)
}

// overTLS compares times as errors does, for streams that are encrypted.
func (b *bench) overTLS() {
	fmt.Printf("\nReported − true over TLS (a Go server), on one client core, a token every 30 ms (ms)\n%-8s %-8s %10s %10s %10s %10s %8s %6s\n",
		"streams", "stamps", "TTFT p50", "TTFT p99", "TTFT max", "ITL p99", "µs/chunk", "MB")
	for _, streams := range []int{64, 512, 1000} {
		port, trace, stop := b.serveTLS(100, 30_000)
		file := filepath.Join(b.dir, "times")
		var n, us, kb float64
		_, _ = fmt.Sscan(b.client(again("tls", port, streams, 100, file)), &n, &us, &kb)
		stop()
		ttft, itl := compare(b.t, trace, file)
		fmt.Printf("%-8d %-8s %10.4f %10.4f %10.4f %10.4f %8.2f %6.0f\n", streams, "kernel", at(ttft, 0.5), at(ttft, 0.99), at(ttft, 1), at(itl, 0.99), us/n, kb/1024)
	}
}

func (b *bench) open() {
	port, _, stop := b.serve(60, 50_000, "even")
	defer stop()
	var n, us, kb float64
	_, _ = fmt.Sscan(b.client(again("own", port, 10_000, 60)), &n, &us, &kb)
	fmt.Printf("\n10 000 open streams, a token every 50 ms: %.0f MB at most, %.2f µs a chunk\n", kb/1024, us/n)
}

// compare is the error of every first token and of every gap in ms, sorted.
func compare(t *testing.T, trace, file string) (ttft, itl []float64) {
	truth, got := read(t, trace), read(t, file)
	if len(truth) == 0 || len(truth) != len(got) {
		t.Fatalf("the server saw %d requests, the client %d", len(truth), len(got))
	}
	for id, at := range got {
		true_ := truth[id]
		if len(at) != len(true_) {
			t.Fatalf("request %s: the server sent %d frames, the client saw %d", id, len(true_), len(at))
		}
		ttft = append(ttft, abs(at[0]-true_[0]))
		for i := 1; i < len(at); i++ {
			itl = append(itl, abs((at[i]-at[i-1])-(true_[i]-true_[i-1])))
		}
	}
	slices.Sort(ttft)
	slices.Sort(itl)
	return ttft, itl
}

func abs(ns int64) float64 { return float64(max(ns, -ns)) / 1e6 }

func at(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// read reads ids and times as server.c writes them.
func read(t *testing.T, path string) map[string][]int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]int64{}
	for len(b) >= 40 {
		id := string(bytes.TrimRight(b[:32], "\x00"))
		n := int(binary.NativeEndian.Uint64(b[32:]))
		b = b[40:]
		times := make([]int64, n)
		for i := range times {
			times[i] = int64(binary.NativeEndian.Uint64(b[8*i:]))
		}
		out[id], b = times, b[8*n:]
	}
	return out
}
