package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sparkrun/runner/result"
)

// compared is what `sparkrun compare --json` prints.
type compared struct {
	*result.RunComparison
	Differs []difference        `json:"fingerprint"` // what differs of machine, program and servers
	Gates   []result.GateResult `json:"gates"`
}

// unlike names cells and what of their workloads differs, a line each.
func unlike(cells []string, base, other fingerprint) string {
	const most = 5
	var b strings.Builder
	for _, cell := range cells[:min(len(cells), most)] {
		fmt.Fprintf(&b, "  %s\n", cell)
	}
	if len(cells) > most {
		fmt.Fprintf(&b, "  and %d more\n", len(cells)-most)
	}
	differ := base.workload(cells[0]).differences(other.workload(cells[0]))
	for _, d := range differ[:min(len(differ), most)] {
		fmt.Fprintf(&b, "    %s: %s → %s\n", d.What, d.Base, d.New)
	}
	return b.String()
}

func (r *compared) print(w io.Writer) {
	fmt.Fprintf(w, "%s → %s\n", r.Base, r.New)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(r.Differs) > 0 {
		fmt.Fprintln(w, "\nWhat differs besides:")
		for _, d := range r.Differs {
			fmt.Fprintf(t, "  %s\t%s → %s\n", d.What, d.Base, d.New)
		}
		t.Flush()
	}
	for _, c := range r.Cells {
		note := ""
		if c.Repeats[0] == 0 || c.Repeats[1] == 0 {
			note = " are ok or suspect: nothing to compare"
		} else if c.Note != "" {
			note = ": " + c.Note
		}
		fmt.Fprintf(w, "\n%s (%d and %d repeats%s)\n", cellName(&c), c.Repeats[0], c.Repeats[1], note)
		for _, path := range append([]string{result.Deciding}, result.Compared...) {
			d, ok := c.Numbers[path]
			if !ok {
				continue
			}
			fmt.Fprintf(t, "  %s\t%.4g → %.4g\t%s\t%s\n", path, *d.Base, *d.Other, change(d.Change), verdictOf(d))
		}
		t.Flush()
	}
	for _, only := range []struct {
		title string
		cells []string
	}{{"Only in " + r.Base, r.OnlyBase}, {"Only in " + r.New, r.OnlyNew}, {"Another workload (--force)", r.Unlike}} {
		if len(only.cells) > 0 {
			fmt.Fprintf(w, "\n%s: %s\n", only.title, strings.Join(only.cells, ", "))
		}
	}
	if len(r.Gates) > 0 {
		fmt.Fprintln(w)
	}
	for _, g := range r.Gates {
		state := "ok"
		if g.Fails {
			state = "FAILS"
		}
		at := ""
		if g.Change != nil && g.Base != nil {
			at = fmt.Sprintf(" (%.4g → %.4g)", *g.Base, *g.New)
		}
		fmt.Fprintf(t, "%s\t%s\t%s%s\t%s\n", state, g.Gate, g.Cell, at, g.Why)
	}
	t.Flush()
}

// cellName is a compared cell as addresses name it, and its phase.
func cellName(c *result.Comparison) string {
	var axes []string
	for _, a := range c.Axes {
		axes = append(axes, a+"="+c.Matrix[a])
	}
	name := "benchmark." + c.Benchmark
	if axes != nil {
		name += "[" + strings.Join(axes, ",") + "]"
	}
	return name + " " + c.Phase
}

// verdictOf is what is known of a difference.
func verdictOf(d result.Difference) string {
	switch {
	case d.Different == nil:
		return "not tested"
	case *d.Different:
		return fmt.Sprintf("different (p = %.2g)", *d.P)
	}
	return fmt.Sprintf("no difference found (p = %.2g)", *d.P)
}

func change(share *float64) string {
	if share == nil {
		return "–"
	}
	return fmt.Sprintf("%+.1f %%", 100**share)
}
