package cli

import (
	"github.com/spf13/cobra"
)

func newGraphCommand(env *Env) *cobra.Command {
	var (
		f      scenarioFlags
		format string
	)
	c := &cobra.Command{
		Use:     "graph PATH...",
		Short:   "Print the plan's tasks and edges as a graph",
		Long:    `Prints the DAG that apply walks: solid edges need success, dashed ones are order only.`,
		Example: "  sparkrun graph sweep.hcl | dot -Tsvg > sweep.svg\n  sparkrun graph --format mermaid sweep.hcl",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			if format != "dot" && format != "mermaid" {
				return exit(exitUsage, "--format %s: use dot or mermaid", format)
			}
			s, err := f.load(env, args)
			if err != nil {
				return err
			}
			if format == "mermaid" {
				return s.Plan.Mermaid(env.Stdout)
			}
			return s.Plan.DOT(env.Stdout)
		},
	}
	f.register(c)
	c.Flags().StringVar(&format, "format", "dot", "dot or mermaid")
	return c
}
