package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/store"
	"sparkrun/scenario/plan"
)

func newUpCommand(env *Env) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use:   "up PATH...",
		Short: "Start a scenario's servers and leave them running",
		Long: `Starts the servers of a scenario, waits until each generates, and leaves them running. An
apply of the same scenario, or of another one with the same server block, uses such a
server instead of starting one, and does not stop it: the way to try things without
loading a model each time. sparkrun down stops it.

Servers that share a node cannot run at the same time: choose with --only.`,
		Example: "  sparkrun up sweep.hcl --only server=vllm\n  sparkrun apply sweep.hcl --only server=vllm,concurrency=1\n  sparkrun down",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.load(env, args)
			if err != nil {
				return err
			}
			if err := refuse(s.Plan); err != nil {
				return err
			}
			if err := sideBySide(s.Plan); err != nil {
				return err
			}
			st, err := f.create(env, s.Name)
			if err != nil {
				return err
			}
			s.Plan.Cells, s.Plan.Sinks, s.Plan.Thresholds, s.Plan.Datasets = nil, nil, nil, nil
			return execute(env, s, &datasets{}, st, store.Request{
				Paths: absolute(args), Vars: settings(f.vars, s.Plan), Only: f.only, Skip: f.skip, KeepServers: true,
			}, f.output, nil, true)
		},
	}
	f.register(c)
	f.output.register(c)
	f.registerStore(c)
	return c
}

// sideBySide refuses servers that need each other's place.
func sideBySide(p *plan.Plan) error {
	started := 0
	for _, s := range p.Sessions {
		if len(s.Nodes) > 0 {
			started++
		}
		if len(s.After) > 0 {
			return exit(exitUsage, "%s and %s share a node and can't run at the same time: choose one, as in --only server=%s", strings.Join(s.After, ", "), s.ID, strings.TrimPrefix(s.Server, "server."))
		}
	}
	if started == 0 {
		return exit(exitUsage, "there is no server to start: those of the scenario have a url")
	}
	return nil
}
