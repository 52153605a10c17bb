package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sparkrun/runner/record"
	"sparkrun/runner/selftest"
	"sparkrun/targets/node"
	"sparkrun/targets/wire"
)

func newSelftestCommand(env *Env) *cobra.Command {
	var quick, asJSON bool
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Measure this machine's own measuring error against the simulator",
		Long: `Runs the simulator in a second process, which knows when each token went to the socket,
and puts 64, 512, 2000 and 8000 streams with a token every 30 ms on it, evenly spread and
all together. Shows how far the reported times are from the true ones, how late requests
were sent, and the largest load with an error under 1 ms (p99). The result is kept in the
user's cache folder; every run notes it, and cells beyond it carry the note
beyond_selftest. Client and simulator share this machine: from a server elsewhere it
measures more.`,
		Example: "  sparkrun selftest\n  sparkrun selftest --quick --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := runSelftest(env, quick, !asJSON)
			if err != nil {
				return exit(exitRun, "selftest: %v", err)
			}
			if asJSON {
				out := json.NewEncoder(env.Stdout)
				out.SetIndent("", "  ")
				_ = out.Encode(r)
			} else {
				printSelftest(env.Stdout, r)
			}
			path, err := selftest.Save(cacheDir(env), r)
			if err != nil {
				return exit(exitRun, "%v", err)
			}
			fmt.Fprintf(env.Stderr, "Kept in %s\n", path)
			return nil
		},
	}
	c.Flags().BoolVar(&quick, "quick", false, "64 and 512 streams, for some seconds")
	c.Flags().BoolVar(&asJSON, "json", false, "print selftest.json on stdout")
	return c
}

// thisMachine is what a selftest holds for.
func thisMachine() selftest.Machine {
	f, _ := node.Local{}.Facts(context.Background()) // never fails for this machine
	return selftest.Machine{Host: f.Hostname, OS: f.OS, Arch: f.Arch, CPU: f.CPU, Cores: f.Cores}
}

// cacheDir is where the user's caches are, as os.UserCacheDir has it.
func cacheDir(env *Env) string {
	if d, ok := env.Lookup("XDG_CACHE_HOME"); ok && filepath.IsAbs(d) {
		return d
	}
	home, _ := env.Lookup("HOME")
	return filepath.Join(home, ".cache")
}

// lastSelftest is what is known of this machine as a client, nil where it is nothing.
func lastSelftest(env *Env) *selftest.Limit {
	l, err := selftest.Newest(cacheDir(env), thisMachine())
	if err != nil {
		fmt.Fprintf(env.Stderr, "Warning: %v\n", err)
	}
	return l
}

// selftestLoads are the loads in the order in which they are put on.
func selftestLoads(quick, together bool) []selftest.Load {
	streams, hold := []int{64, 512, 2000, 8000}, 2*time.Second
	if quick {
		streams, hold = streams[:2], 600*time.Millisecond
	}
	var loads []selftest.Load
	for _, n := range streams {
		loads = append(loads, selftest.Load{Streams: n, Together: together, Hold: hold})
	}
	return loads
}

func runSelftest(env *Env, quick, say bool) (*selftest.Result, error) {
	var levels []selftest.Level
	for _, together := range []bool{false, true} {
		some, err := measureAgainst(env, selftestLoads(quick, together), together, say)
		if err != nil {
			return nil, err
		}
		levels = append(levels, some...)
	}
	return selftest.NewResult(version(), thisMachine(), quick, env.Now(), levels), nil
}

// measureAgainst puts loads on a simulator of their own, one after the other.
func measureAgainst(env *Env, loads []selftest.Load, together, say bool) ([]selftest.Level, error) {
	dir, err := os.MkdirTemp("", "sparkrun-selftest-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the simulator's trace: %w", err)
	}
	defer os.RemoveAll(dir)
	trace := filepath.Join(dir, "trace.jsonl")
	sim, err := startSim(env.Self, trace, together)
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	var all []*selftest.Measured
	for _, l := range loads {
		if say {
			fmt.Fprintf(env.Stderr, "%d streams%s, %.0f s …\n", l.Streams, map[bool]string{true: " together"}[together], l.Expect().Seconds())
		}
		m, err := measureLoad(sim.url, l)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if err := sim.stop(); err != nil {
		return nil, err
	}
	file, err := os.Open(trace)
	if err != nil {
		return nil, fmt.Errorf("open the simulator's trace: %w", err)
	}
	defer file.Close()
	truth, err := selftest.ReadTrace(file)
	if err != nil {
		return nil, err
	}
	var levels []selftest.Level
	for _, m := range all {
		l, err := m.Compare(truth)
		if err != nil {
			return nil, err
		}
		levels = append(levels, l)
	}
	return levels, nil
}

func measureLoad(url string, l selftest.Load) (*selftest.Measured, error) {
	clock := record.NewClock()
	client, err := wire.New(wire.Options{BaseURL: url, API: "chat", Stream: true, Clock: clock, UserAgent: "sparkrun/" + version(), Grow: true})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return l.Run(context.Background(), client, clock, cpuTime)
}

// simProcess is a simulator that ends with us, or when it is stopped.
type simProcess struct {
	url   string
	cmd   *exec.Cmd
	stdin io.Closer
}

var simURL = regexp.MustCompile(`http://\S+/v1`)

func startSim(self, trace string, together bool) (*simProcess, error) {
	args := []string{"sim", "--port", "0", "--trace", trace, "--exit-on-stdin-close",
		"--ttft", selftest.TTFT.String(), "--itl", selftest.ITL.String(), "--prefix-caching=false"}
	if together {
		args = append(args, "--together=true")
	}
	cmd := exec.Command(self, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	p := &simProcess{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if p.url = simURL.FindString(line); p.url == "" {
		_ = p.stop()
		return nil, fmt.Errorf("start the simulator: it says %q (%v)", line, err)
	}
	return p, nil
}

// stop ends the simulator; a second call does nothing.
func (p *simProcess) stop() error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	p.stdin.Close()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the simulator ended: %w", err)
	}
	return nil
}

func printSelftest(w io.Writer, r *selftest.Result) {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "streams\tpace\theld\tfailed\tevents/s\tper core\tTTFT error p50\tp99\tITL error p99\tsend lag p50\tp99\tsimulator late p99\tGC\t")
	for i := range r.Levels {
		l := &r.Levels[i]
		fmt.Fprintf(out, "%d\t%s\t%d\t%d\t%.0f\t%.0f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.1f %%\t\n",
			l.Streams, map[bool]string{true: "together", false: "even"}[l.Together], l.Held, l.Failed, l.EventsPerS, l.EventsPerCPUS,
			l.TTFTErrorMS.P50, l.TTFTErrorMS.P99, l.ITLErrorMS.P99, l.SendLagMS.P50, l.SendLagMS.P99, l.ServerLateMS.P99, 100*l.GCShare)
	}
	out.Flush()
	fmt.Fprintln(w, "Times in ms. A token of a stream is due every 30 ms, and the simulator is late by what is shown,\nwhich is in no error; error: reported − true; per core: events/s of CPU time.")
	fmt.Fprintln(w, r.Sentence())
}
