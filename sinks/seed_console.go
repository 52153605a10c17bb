package sinks

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
)

// print writes the tables that it prints at its end.
func (r *seedReport) print(b *strings.Builder) {
	separator := strings.Repeat("-", 100) + "\n"
	fmt.Fprintf(b, "\n%s\n%sParameters:\n", r.cell, separator)
	for _, p := range r.params {
		fmt.Fprintf(b, "%s=%s\n", p.name, p.text())
	}
	if len(r.generation) > 0 {
		b.WriteString("Conversations Generation Parameters:\n")
		for _, p := range r.generation {
			fmt.Fprintf(b, "%s=%s\n", p.name, p.text())
		}
	}
	b.WriteString(separator)
	for _, run := range r.runs {
		if run.warmup > 0 || len(r.runs) > 1 {
			fmt.Fprintf(b, "Statistics summary (assuming %.0f%% warmup samples):\n", 100*run.warmup)
		} else {
			b.WriteString("Statistics summary:\n")
		}
		for _, p := range run.params {
			fmt.Fprintf(b, "%s = %.3f\n", p.name, p.value)
		}
		b.WriteString(separator)
		w := tabwriter.NewWriter(b, 0, 4, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\t%s\t\n", strings.Join(run.columns, "\t"))
		for i, m := range seedMetrics {
			fmt.Fprint(w, m.name)
			for j, v := range run.table[i] {
				switch {
				case math.IsNaN(v):
					fmt.Fprint(w, "\tNaN")
				case j == 0:
					fmt.Fprintf(w, "\t%.1f", v)
				default:
					fmt.Fprintf(w, "\t%.2f", v)
				}
			}
			fmt.Fprint(w, "\t\n")
		}
		w.Flush()
		b.WriteString(separator)
	}
}

// text is a parameter's value as Python prints it.
func (p param) text() string {
	if p.value == nil {
		return "None"
	}
	return fmt.Sprint(p.value)
}
