package sinks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"sparkrun/runner/result"
)

// searchColumns are the columns of a search's table; those after the second are numbers.
func searchColumns(s *result.Search) []string {
	return []string{s.Vary, "goal", "output_tokens_per_s", "per user p50", "requests_per_s", "ttft_ms p50", "tpot_ms p50", "in flight", "verdict"}
}

// searchLine is a step as a line of the table; nil is undefined.
func searchLine(s *result.SearchStep) []any {
	goal := "missed"
	if s.Met {
		goal = "met"
	}
	return []any{
		s.Value, goal, number(s.OutputTokensPerS), number(s.OutputTokensPerUser), number(s.RequestsPerS),
		number(s.TTFT), number(s.TPOT), number(s.Concurrency), string(s.Verdict),
	}
}

// byValue are the steps of a search by the value that they tried.
func byValue(s *result.Search) []result.SearchStep {
	steps := slices.Clone(s.Steps)
	slices.SortStableFunc(steps, func(a, b result.SearchStep) int { return cmp.Compare(a.Value, b.Value) })
	return steps
}

// searchFound is what a search has found, in words.
func searchFound(e *result.Entry) string {
	s := e.Search
	if s.Value == nil {
		return fmt.Sprintf("%s, search %s: no %s meets %s", e.Address, s.Name, s.Vary, s.Goal)
	}
	return fmt.Sprintf("%s, search %s: the highest %s that meets %s is %.4g", e.Address, s.Name, s.Vary, s.Goal, *s.Value)
}

// searches prints what searches have found, with all that they tried. A + marks the steps
// that no other one beats in both throughput and speed for a user.
func searches(b *strings.Builder, entries []result.Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Search == nil {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", searchFound(e))
		w := tabwriter.NewWriter(b, 0, 4, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\t%s\t\n", strings.Join(searchColumns(e.Search), "\t"))
		for _, step := range byValue(e.Search) {
			sign := ""
			if step.Pareto {
				sign = "+"
			}
			fmt.Fprint(w, sign)
			for _, v := range searchLine(&step) {
				switch v := v.(type) {
				case nil:
					fmt.Fprint(w, "\t–")
				case float64:
					fmt.Fprintf(w, "\t%.4g", v)
				default:
					fmt.Fprintf(w, "\t%v", v)
				}
			}
			fmt.Fprint(w, "\t\n")
		}
		w.Flush()
		b.WriteString("+ no other value has both more throughput and more speed for a user\n")
	}
}
