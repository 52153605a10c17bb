package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"sparkrun/runner/generator"
	"sparkrun/scenario/plan"
	"sparkrun/targets/framework"
	"sparkrun/targets/node"
)

// launcherLine is the command that starts all workers of a generator, none where sparkrun
// starts each.
func launcherLine(g plan.Generator, host func(node string) string) []string {
	argv := generator.Command(g, "sparkrun", host)
	if argv == nil {
		return nil
	}
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = framework.Quote(a)
	}
	return []string{strings.Join(words, " ")}
}

func newPlanCommand(env *Env) *cobra.Command {
	var (
		f      scenarioFlags
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "plan PATH...",
		Short: "Show what apply would do; nothing is touched",
		Long: `Shows the cells in the order they run, the servers and how they are launched, requests
and hours as far as they are known, what is measured, and how many turns each dataset
needs and has. Datasets in files of up to 64 MB are read and checked.`,
		Example: "  sparkrun plan sweep.hcl\n  sparkrun plan --json sweep.hcl --only concurrency=16",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.load(env, args)
			if err != nil {
				return err
			}
			if err := report(env, (&datasets{}).check(s, false), s.Files); err != nil {
				return err
			}
			if asJSON {
				return s.Plan.JSON(env.Stdout)
			}
			return s.Plan.Text(env.Stdout, plan.TextOptions{
				Launch:    func(srv plan.Server) []string { return framework.Describe(srv, node.HasGPUs()) },
				Generator: func(g plan.Generator) []string { return launcherLine(g, s.Plan.Host) },
			})
		},
	}
	f.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	return c
}
