package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"sparkrun/cmd/internal/view"
	"sparkrun/runner"
	"sparkrun/runner/journal"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario"
	"sparkrun/sinks"
	"sparkrun/targets/node"
)

// outputFlags choose what a run shows.
type outputFlags struct {
	json, noColor, quiet, verbose bool
	watch                         watchFlag
}

func (f *outputFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.json, "json", false, "print events as JSON lines on stdout")
	c.Flags().BoolVar(&f.noColor, "no-color", false, "no colour and no control codes")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print results and errors only")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "log what is done to stderr")
}

// runFile is run.json.
type runFile struct {
	Schema  int           `json:"schema"` // 1
	Run     result.Run    `json:"run"`
	Request store.Request `json:"request"`
	Plan    any           `json:"plan"`
}

// execute runs a plan in its run's folder and shows it. sets are the datasets that have
// been read already, finished the cells that an earlier try has done; serversOnly starts
// the servers and measures nothing.
func execute(env *Env, s *scenario.Scenario, sets *datasets, st *store.Run, req store.Request, out outputFlags, finished map[string]journal.Line, serversOnly bool) error {
	baseline, err := readBaseline(req.Baseline)
	if err != nil {
		return exit(exitUsage, "%v", err)
	}
	clock := record.NewClock()
	info := runInfo(env, s, st, clock)
	if err := st.WriteJSON("run.json", runFile{1, info, req, s.Plan}); err != nil {
		return exit(exitRun, "%v", err)
	}
	jour, err := journal.Open(st.JournalPath())
	if err != nil {
		return exit(exitRun, "%v", err)
	}
	defer jour.Close()
	jour.OnAppend = env.OnJournal
	open := map[string]runner.Sink{}
	stdout := env.Stdout
	if out.json {
		stdout = env.Stderr // stdout has the events
	}
	for _, p := range s.Plan.Sinks {
		open[p.Address], err = sinks.New(p, st.Dir, sinks.Env{
			Stdout: stdout, Width: env.StdoutTerminal(),
			Color: !out.noColor && env.color(env.StdoutTerminal()),
		})
		if err != nil {
			return exit(exitRun, "%v", err)
		}
	}
	logs, err := openLog(env, st, out, s.Plan.Secrets)
	if err != nil {
		return exit(exitRun, "%v", err)
	}
	defer logs.Close()

	watchers, watched, err := out.watch.begin(&info, open, env.Stderr)
	if err != nil {
		return exit(exitRun, "%v", err)
	}
	v := view.New(view.Options{
		JSON: out.json, Quiet: out.quiet, Width: terminal(env, out), Stdout: env.Stdout, Stderr: env.Stderr,
	})
	control := runner.NewControl()
	defer control.Close()
	stopSignals := handleSignals(env, control, v, st)
	defer stopSignals()
	on := newNodes(env, usedNodes(s.Plan))
	defer on.close()
	t := tools(env, sets, on)
	t.Worker = req.Worker
	report := runner.Run(runner.Config{
		Plan: s.Plan, Info: info, Store: st, Journal: jour, Clock: clock,
		Tools: t, Sinks: open, Parallelism: req.Parallelism, Strict: req.Strict, Baseline: baseline,
		Control: control, Resume: "sparkrun resume " + st.Dir, Finished: finished,
		KeepServers: req.KeepServers, ServersOnly: serversOnly,
		OnCell: watched,
		Observe: func(e runner.Event) {
			logs.event(e)
			v.Event(e)
			tell(watchers, e)
		},
	})
	out.watch.end(report.Run)
	v.Close()
	if report.ExitCode != 0 {
		return &exitError{code: report.ExitCode}
	}
	return nil
}

// readBaseline reads the summary that a run was told to compare with; nil for none.
func readBaseline(path string) (*result.Baseline, error) {
	if path == "" {
		return nil, nil
	}
	s, _, err := store.FindSummary("", path)
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	return &result.Baseline{Name: s.Run.ID, Entries: s.Cells}, nil
}

// terminal is the width of the terminal to draw on, nil for lines only.
func terminal(env *Env, out outputFlags) func() int {
	if out.noColor || !env.color(env.StderrTerminal()) {
		return nil
	}
	return env.StderrTerminal
}

// runInfo is who runs, when and where.
func runInfo(env *Env, s *scenario.Scenario, st *store.Run, clock record.Clock) result.Run {
	info := result.Run{
		ID: st.ID, Scenario: s.Name, Version: version(), Started: env.Now(), EpochUnix: clock.Epoch.UnixNano(),
		Dir: st.Dir, Plan: s.Plan,
	}
	facts, _ := node.Local{}.Facts(context.Background()) // never fails for this machine
	info.Host, info.OS, info.Arch, info.CPU, info.Cores = facts.Hostname, facts.OS, facts.Arch, facts.CPU, facts.Cores
	info.Selftest = lastSelftest(env)
	for _, srv := range s.Plan.Servers {
		info.Simulated = info.Simulated || srv.Framework == "sim"
	}
	return info
}

// handleSignals turns signals into interrupts of the run until the returned function is
// called.
func handleSignals(env *Env, control *runner.Control, v view.View, st *store.Run) (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-env.Signals:
			}
			switch control.Interrupt() {
			case 1:
				v.Event(runner.Event{Type: runner.EventInterrupt, Time: env.Now(), Run: st.ID, Message: "Interrupted: the requests under way may finish, then servers are stopped and results written. Again to cut them."})
			case 2:
				v.Event(runner.Event{Type: runner.EventInterrupt, Time: env.Now(), Run: st.ID, Message: "Interrupted again: requests are cut, clean-up has 10 s. Again to leave at once."})
			default:
				v.Close()
				fmt.Fprintf(env.Stderr, "Left at once. What was measured is in %s; go on with: sparkrun resume %s\n%s", st.Dir, st.Dir, leftover(st))
				env.Exit(130)
			}
		}
	})
	return func() { close(done); ended.Wait() }
}

// runLog writes events to logs/sparkrun.jsonl and, with --verbose, to stderr.
type runLog struct {
	hclog.Logger
	file *os.File
}

func openLog(env *Env, st *store.Run, out outputFlags, secrets []string) (*runLog, error) {
	file, err := os.OpenFile(st.Path("logs", "sparkrun.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the run's log: %w", err)
	}
	level := hclog.Off
	if out.verbose {
		level = hclog.Debug
	}
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "sparkrun", Level: level, Output: runner.Redact(env.Stderr, secrets)})
	log.RegisterSink(hclog.NewSinkAdapter(&hclog.LoggerOptions{Level: hclog.Debug, JSONFormat: true, Output: runner.Redact(file, secrets)}))
	return &runLog{log, file}, nil
}

func (l *runLog) Close() error { return l.file.Close() }

// event logs what happened; progress is for the eye only.
func (l *runLog) event(e runner.Event) {
	switch {
	case e.Type == runner.EventProgress:
	case e.Level == "error" || e.Outcome == runner.Failed:
		l.Error(string(e.Type), "address", e.Address, "message", e.Message)
	case e.Level == "warn":
		l.Warn(string(e.Type), "address", e.Address, "message", e.Message)
	default:
		l.Debug(string(e.Type), "address", e.Address, "phase", e.Phase, "outcome", string(e.Outcome), "seconds", e.Seconds, "message", e.Message)
	}
}

// absolute makes the paths of the command line independent of the working folder.
func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if abs, err := filepath.Abs(p); err == nil && p != "-" {
			out[i] = abs
		}
	}
	return out
}
