package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/plan"
	"sparkrun/sinks"
)

// runArgument is what RUN means to every command that takes one.
const runArgument = `RUN is a run's folder, its id or the unique beginning of one, or SCENARIO/latest.`

func newShowCommand(env *Env) *cobra.Command {
	var (
		out     string
		asJSON  bool
		noColor bool
	)
	c := &cobra.Command{
		Use:   "show RUN",
		Short: "Show the results of a run again",
		Long: `Shows the results of a run as they were shown at its end. Those of a run that was killed are
made from its raw rows, to the last one.

` + runArgument,
		Example: "  sparkrun show sweep/latest\n  sparkrun show 20261123-1015\n  sparkrun show --json results/sweep/20261123-101500-3fa4c1",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			st, err := store.Find(out, args[0])
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			info, err := again(st)
			if err != nil {
				return exit(exitRun, "%v", err)
			}
			if asJSON {
				return printJSON(env, result.NewSummary(info, info.Entries, info.Thresholds))
			}
			state := ""
			if info.Interrupted {
				state = ", not finished"
			}
			fmt.Fprintf(env.Stdout, "%s/%s: begun %s on %s, sparkrun %s%s\n", info.Scenario, info.ID, info.Started.Local().Format(time.DateTime), info.Host, info.Version, state)
			console, err := sinks.New(plan.Sink{Address: "sink.console", Type: "console"}, st.Dir, sinks.Env{
				Stdout: env.Stdout, Width: env.StdoutTerminal(), Color: !noColor && env.color(env.StdoutTerminal()),
			})
			if err != nil {
				return exit(exitRun, "%v", err)
			}
			if err := console.End(context.Background(), info); err != nil {
				return exit(exitRun, "%v", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	c.ValidArgsFunction = completeRuns(&out, 1)
	c.Flags().BoolVar(&asJSON, "json", false, "print the summary as JSON")
	c.Flags().BoolVar(&noColor, "no-color", false, "no colour and no control codes")
	return c
}

// again is the results of a run: those it wrote, or where it did not come to its end those
// that its raw rows give.
func again(st *store.Run) (*result.Run, error) {
	past, err := st.Past()
	if err != nil {
		return nil, err
	}
	if past.Ended {
		if s, err := st.Summary(); err == nil {
			info := s.Run
			info.Plan, info.Dir, info.Entries, info.Thresholds = past.Info.Plan, st.Dir, s.Cells, s.Thresholds
			return &info, nil
		}
	}
	if err := past.Cells(func(*result.Cell) error { return nil }); err != nil {
		return nil, err
	}
	judgeAgain(past)
	return &past.Info, nil
}

// judgeAgain decides a run's thresholds by its rows. A baseline that is gone leaves those
// that need it undecided.
func judgeAgain(past *store.Past) {
	baseline, _ := readBaseline(past.Request.Baseline)
	past.Info.Thresholds, _ = result.Thresholds(past.Info.Plan, past.Info.Entries, baseline) // those without cells were reported
}
