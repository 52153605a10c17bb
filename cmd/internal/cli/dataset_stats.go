package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"sparkrun/runner/dataset"
)

func newDatasetStatsCommand(env *Env) *cobra.Command {
	var (
		f      datasetFlags
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "stats FILE|SCENARIO",
		Short: "Count a dataset's conversations, turns and tokens",
		Long: `Counts the turns of conversations, the tokens of prompts and answers and of whole requests
with their history: mean, percentiles and the largest, which must fit the server's
context. Words are taken for tokens unless --url names a server to ask.`,
		Example: "  sparkrun dataset stats chat.json\n  sparkrun dataset stats sweep.hcl --dataset chat --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := f.either(env, args[0])
			if err != nil {
				return err
			}
			set, server, err := f.open(env, d)
			if err != nil {
				return err
			}
			s, err := dataset.Measure(context.Background(), set.Conversations(context.Background(), f.seed, f.most, server), server)
			if err != nil {
				return exit(exitUsage, "%s: %v", d.Address, err)
			}
			if !asJSON {
				return s.Text(env.Stdout)
			}
			enc := json.NewEncoder(env.Stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(s)
		},
	}
	f.ofScenario(c)
	f.draw(c)
	f.ofFile(c)
	f.server(c)
	c.Flags().Int64Var(&f.most, "conversations", 0, "conversations of an endless set")
	c.Flags().BoolVar(&asJSON, "json", false, "print the statistics as JSON")
	return c
}
