package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/store"
	"sparkrun/scenario"
	"sparkrun/scenario/plan"
)

// applyFlags are the flags of apply; run.json keeps them for resume.
type applyFlags struct {
	scenarioFlags
	out         string
	runID       string
	baseline    string
	parallelism int
	strict      bool
	keepServers bool
	worker      string
	output      outputFlags
}

func newApplyCommand(env *Env) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use:   "apply PATH...",
		Short: "Plan a scenario, run it and write its results",
		Long: `Plans the scenario, starts its servers, puts load on them, stops them again and writes
results/<scenario>/<run-id>/. It never asks and always makes a new run.

Ctrl-C once: nothing new starts, the requests under way may finish, servers are stopped,
the results so far are written. Twice: requests are cut. Three times: leaves at once.

Exit codes: 130 interrupted · 2 the scenario or the call is wrong, nothing was touched ·
1 the run could not be done · 3 a cell is failed, invalid or skipped (--strict: or
suspect) · 4 a threshold is not met · 5 clean-up is incomplete · 0 else.`,
		Example: "  sparkrun apply examples/quickstart.hcl\n  sparkrun apply sweep.hcl --var concurrency=1,4 --only server=vllm\n  sparkrun apply sweep.hcl --watch 8080\n  sparkrun apply ci.hcl --baseline results/ci/latest",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.load(env, args)
			if err != nil {
				return err
			}
			sets := &datasets{}
			if !f.output.quiet {
				sets.say = env.Stderr
			}
			if err := report(env, sets.check(s, true), s.Files); err != nil {
				return err
			}
			baseline, err := findBaseline(env, f.out, f.baseline, s.Plan)
			if err != nil {
				return err
			}
			if err := f.output.watch.listen(); err != nil {
				return exit(exitUsage, "--watch: %v", err)
			}
			defer f.output.watch.close()
			st, err := f.create(env, s.Name)
			if err != nil {
				return err
			}
			return execute(env, s, sets, st, store.Request{
				Paths: absolute(args), Vars: settings(f.vars, s.Plan), Only: f.only, Skip: f.skip,
				Parallelism: f.parallelism, Strict: f.strict, Baseline: baseline, KeepServers: f.keepServers, Worker: workerBinary(f.worker, s.Plan.Generator),
			}, f.output, nil, false)
		},
	}
	f.register(c)
	f.output.register(c)
	f.output.watch.register(c)
	f.registerStore(c)
	c.Flags().StringVar(&f.baseline, "baseline", "", "run or summary.json that thresholds know as baseline.*")
	c.Flags().IntVar(&f.parallelism, "parallelism", 1, "cells that load at a time")
	c.Flags().BoolVar(&f.keepServers, "keep-servers", false, "leave the servers running that no other server needs the place of")
	c.Flags().StringVar(&f.worker, "worker-binary", "", "sparkrun for the workers of a generator: a file for nodes of another architecture (ssh), or its path there (mpirun, srun)")
	c.Flags().BoolVar(&f.strict, "strict", false, "exit 3 also for suspect cells")
	return c
}

// registerStore registers the flags of where a run's folder is.
func (f *applyFlags) registerStore(c *cobra.Command) {
	c.Flags().StringVar(&f.out, "out", "results", "folder of the results store")
	c.Flags().StringVar(&f.runID, "run-id", "", "name of the run (default: date, time and six hex digits)")
}

// create makes the folder of a run.
func (f *applyFlags) create(env *Env, scenario string) (*store.Run, error) {
	st, err := store.Create(f.out, scenario, cmp.Or(f.runID, store.NewID(env.Now())))
	if err != nil {
		return nil, exit(exitRun, "%v", err)
	}
	return st, nil
}

// findBaseline is the path of the summary that --baseline names. Thresholds that compare
// with one where there is none are undecided, which is said before hours of measuring.
func findBaseline(env *Env, out, arg string, p *plan.Plan) (path string, err error) {
	if arg != "" {
		_, path, err := store.FindSummary(out, arg)
		if err != nil {
			return "", exit(exitUsage, "--baseline: %v", err)
		}
		return absolute([]string{path})[0], nil
	}
	for _, t := range p.Thresholds {
		if slices.ContainsFunc(t.Program.Columns, func(c string) bool { return strings.HasPrefix(c, "baseline.") }) {
			fmt.Fprintf(env.Stderr, "Warning: threshold %s (%s) compares with baseline.*, and there is no --baseline: it stays undecided.\n", t.Name, t.Range)
		}
	}
	return "", nil
}

// settings are --var and --var-file as run.json keeps them: without the values of
// sensitive variables.
func settings(vars []scenario.VarSetting, p *plan.Plan) []store.Setting {
	var out []store.Setting
	for _, v := range vars {
		s := store.Setting{Name: v.Name, Value: v.Value}
		if v.File != "" {
			s.File = absolute([]string{v.File})[0]
		}
		for _, known := range p.Variables {
			if known.Name == v.Name && known.Value.Sensitive() {
				s.Value, s.Sensitive = "", true
			}
		}
		out = append(out, s)
	}
	return out
}

// workerBinary is where the workers' program is: a file of this machine is independent of
// the working folder, a path on others stays as it is.
func workerBinary(path string, g *plan.Generator) string {
	if path != "" && g != nil && (g.Launcher == "ssh" || g.Launcher == "local") {
		return absolute([]string{path})[0]
	}
	return path
}
