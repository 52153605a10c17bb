package cli

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/metric"
)

// exitGate is a --fail-if that holds; a threshold that is not met has the same code.
const exitGate = 4

func newCompareCommand(env *Env) *cobra.Command {
	var (
		out    string
		failIf []string
		force  bool
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "compare BASE NEW",
		Short: "Compare two runs, and fail where one is worse",
		Long: `Compares the cells that two runs have in common: the medians of their repeats, and whether
they differ by more than noise (Mann-Whitney, at least 4 ok or suspect repeats a side). It
names what differs between the machines, programs and servers, and refuses cells of
different workloads (--force compares them all the same).

--fail-if 'NUMBER>+5%' ends with exit code 4 where a cell's NUMBER has risen by more than 5 %
(NUMBER<-5%: has fallen; without % by so much). With 4 repeats a side or more it must be
more than noise as well; with fewer it says that this was not tested. A value that is
missing counts as worse.

BASE and NEW are runs or files summary.json. ` + runArgument,
		Example: "  sparkrun compare ci/20261120-0900 ci/latest --fail-if 'ttft_ms.p50>+5%' --fail-if 'output_tokens_per_s<-5%'\n  sparkrun compare baseline.json ci/latest",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			base, basePrint, err := readSide(out, args[0])
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			other, otherPrint, err := readSide(out, args[1])
			if err != nil {
				return exit(exitUsage, "%v", err)
			}
			gates, err := parseGates(failIf, base, other)
			if err != nil {
				return exit(exitUsage, "--fail-if %v", err)
			}
			r := compared{RunComparison: result.CompareRuns(base, other), Differs: basePrint.differences(otherPrint), Gates: []result.GateResult{}}
			switch {
			case len(r.Cells) == 0:
				return exit(exitUsage, "compare %s with %s: they have no cell in common (the same benchmark, axis values and phase)", base.Name, other.Name)
			case len(r.Unlike) > 0 && !force:
				return exit(exitUsage, "compare %s with %s: these cells had another workload:\n%sWhat was sent differs, so that the results say nothing of the servers. --force compares them all the same.",
					base.Name, other.Name, unlike(r.Unlike, basePrint, otherPrint))
			}
			r.Gates = result.Gates(gates, base, other)
			if asJSON {
				if err := printJSON(env, r); err != nil {
					return err
				}
			} else {
				r.print(env.Stdout)
			}
			if slices.ContainsFunc(r.Gates, func(g result.GateResult) bool { return g.Fails }) {
				return &exitError{code: exitGate}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&failIf, "fail-if", nil, "exit 4 where this holds, as in 'ttft_ms.p50>+5%' (repeatable)")
	c.Flags().BoolVar(&force, "force", false, "compare cells of different workloads too")
	c.Flags().BoolVar(&asJSON, "json", false, "print the comparison as JSON")
	c.Flags().StringVar(&out, "out", "results", "folder of the results store")
	c.ValidArgsFunction = completeRuns(&out, 2)
	return c
}

// readSide reads a run to compare, and what it ran on.
func readSide(out, arg string) (result.Side, fingerprint, error) {
	s, path, err := store.FindSummary(out, arg)
	if err != nil {
		return result.Side{}, nil, err
	}
	return result.Side{Name: s.Run.ID, Entries: s.Cells}, fingerprintOf(s, path), nil
}

// parseGates reads --fail-if; the numbers are those that both sides have.
func parseGates(texts []string, sides ...result.Side) ([]*result.Gate, error) {
	var metrics, slos []string
	for _, s := range sides {
		for i := range s.Entries {
			metrics = append(metrics, slices.Collect(maps.Keys(s.Entries[i].Units))...)
			slos = append(slos, slices.Collect(maps.Keys(s.Entries[i].Goodput))...)
		}
	}
	known := metric.ResultPaths(metrics, slos)
	var gates []*result.Gate
	for _, t := range texts {
		g, err := result.ParseGate(t, known)
		if err != nil {
			return nil, err
		}
		gates = append(gates, g)
	}
	return gates, nil
}
