package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidateCommand(env *Env) *cobra.Command {
	var (
		f      scenarioFlags
		asJSON bool
	)
	c := &cobra.Command{
		Use:     "validate PATH...",
		Short:   "Say everything that is wrong with a scenario",
		Long:    `Reads the scenario and its datasets as plan does and prints all diagnostics with their source. Exit code 2 if there is an error.`,
		Example: "  sparkrun validate sweep.hcl\n  sparkrun validate --json sweep.hcl",
		Args:    needPath,
		RunE: func(_ *cobra.Command, args []string) error {
			s, diags := f.scenario(env, args)
			if s.Plan != nil {
				diags = append(diags, (&datasets{}).check(s, false)...)
			}
			if asJSON {
				return reportJSON(env, diags)
			}
			if err := report(env, diags, s.Files); err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "%s is valid: %d cells.\n", s.Name, len(s.Plan.Cells))
			return nil
		},
	}
	f.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the diagnostics as JSON")
	return c
}
