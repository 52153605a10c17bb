package cli

import (
	"github.com/spf13/cobra"

	"sparkrun/runner/journal"
	"sparkrun/runner/store"
	"sparkrun/scenario"
)

func newResumeCommand(env *Env) *cobra.Command {
	var (
		out    string
		output outputFlags
	)
	c := &cobra.Command{
		Use:   "resume [RUN]",
		Short: "Go on with an unfinished run",
		Long: `Goes on with the newest unfinished run, or with RUN (a run's id or folder): plans its
scenario again, keeps the cells that it has measured and that are still the same, and
runs the others into the same folder. Secrets come from the environment again.`,
		Example: "  sparkrun resume\n  sparkrun resume results/sweep/20261123-101500-3fa4c1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			st, err := find(out, args)
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			var file struct {
				Request store.Request `json:"request"`
			}
			if err := st.ReadJSON("run.json", &file); err != nil {
				return exit(exitUsage, "%v", err)
			}
			lines, err := journal.Read(st.JournalPath())
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			req := file.Request
			f := scenarioFlags{only: req.Only, skip: req.Skip}
			for _, v := range req.Vars {
				if v.Sensitive {
					if _, ok := env.Lookup("SPARKRUN_VAR_" + v.Name); !ok {
						return exit(exitUsage, "run %s was given the sensitive variable %s with --var, and it is not kept: set SPARKRUN_VAR_%s", st.ID, v.Name, v.Name)
					}
					continue
				}
				f.vars = append(f.vars, scenario.VarSetting{Name: v.Name, Value: v.Value, File: v.File})
			}
			s, err := f.load(env, req.Paths)
			if err != nil {
				return err
			}
			if err := refuse(s.Plan); err != nil {
				return err
			}
			if err := output.watch.listen(); err != nil {
				return exit(exitUsage, "--watch: %v", err)
			}
			defer output.watch.close()
			return execute(env, s, &datasets{}, st, req, output, journal.Finished(lines), false)
		},
	}
	output.register(c)
	output.watch.register(c)
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	c.ValidArgsFunction = completeRuns(&out, 1)
	return c
}

// find is the run that a command names, or the newest unfinished one.
func find(out string, args []string) (*store.Run, error) {
	if len(args) == 0 {
		return store.Unfinished(out)
	}
	return store.Find(out, args[0])
}
