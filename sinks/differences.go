package sinks

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"sparkrun/runner/result"
)

// pairsOf are the comparisons of a benchmark's servers in the order of its grid, and
// whether any of them has repeats enough for a test.
func pairsOf(benchmark string, entries []result.Entry) (pairs []result.Comparison, tested bool) {
	pairs = slices.DeleteFunc(result.CompareServers(entries), func(c result.Comparison) bool { return c.Benchmark != benchmark })
	slices.SortStableFunc(pairs, func(x, y result.Comparison) int {
		switch a, b := cellOf(&x), cellOf(&y); {
		case natural(a, b):
			return -1
		case natural(b, a):
			return 1
		}
		return 0
	})
	return pairs, slices.ContainsFunc(pairs, func(c result.Comparison) bool { return c.Note != result.NotTested })
}

// differences says which servers of a benchmark differ, and which are not known to.
func differences(b *strings.Builder, benchmark string, entries []result.Entry, width int) {
	pairs, tested := pairsOf(benchmark, entries)
	if len(pairs) == 0 {
		return
	}
	if !tested {
		fmt.Fprintf(b, "\n%s\n", fold(fmt.Sprintf("Differences between servers: %s (that takes 4 repeats: repeat = 4).", result.NotTested), width, 2))
		return
	}
	fmt.Fprintf(b, "\n%s\n", fold(fmt.Sprintf("Differences between servers in %s (Mann-Whitney over the repeats, p < 0.05):", result.Deciding), width, 2))
	w := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	for _, c := range pairs {
		fmt.Fprintf(w, "  %s\t%s against %s\t%s\n", cellOf(&c), server(c.Other), server(c.Base), decision(&c))
	}
	w.Flush()
	if slices.ContainsFunc(pairs, func(c result.Comparison) bool { return c.Note == result.SameStart }) {
		b.WriteString(fold(fmt.Sprintf("  %s: the repeats of a server ran in one start of it, so that what changes from start to start is not in them.", result.SameStart), width, 4) + "\n")
	}
}

// decision is what is known of the deciding number of a pair, and the further numbers that
// differ.
func decision(c *result.Comparison) string {
	d, ok := c.Numbers[result.Deciding]
	switch {
	case !ok:
		return "no value"
	case d.Different == nil:
		return change(d) + ", " + c.Note
	}
	s := fmt.Sprintf("no difference found (%s, p = %.2g)", change(d), *d.P)
	if *d.Different {
		s = fmt.Sprintf("%s (p = %.2g)", change(d), *d.P)
	}
	for _, path := range result.Compared {
		if x := c.Numbers[path]; x.Different != nil && *x.Different {
			s += fmt.Sprintf(", %s %s", path, change(x))
		}
	}
	return s
}

// change is "+5.1 %".
func change(d result.Difference) string {
	if d.Change == nil {
		return "–"
	}
	return fmt.Sprintf("%+.1f %%", 100**d.Change)
}

func server(address string) string { return strings.TrimPrefix(address, "server.") }

// cellOf names the cell of a comparison by its axes and phase.
func cellOf(c *result.Comparison) string {
	var parts []string
	for _, axis := range c.Axes {
		parts = append(parts, axis+"="+c.Matrix[axis])
	}
	return strings.Join(append(parts, c.Phase), ", ")
}
