package sinks

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"sparkrun/runner/result"
)

// seedConsole prints the tables of vLLM's multi-turn benchmark, a report a cell, when the
// run has ended.
type seedConsole struct {
	w       io.Writer
	warmups []float64
	run     *result.Run
	text    strings.Builder
}

func (*seedConsole) Path() string { return "" }

func (c *seedConsole) Begin(_ context.Context, r *result.Run) error {
	c.run = r
	return nil
}

func (c *seedConsole) Cell(_ context.Context, cell *result.Cell) error {
	if r := newSeedReport(c.run, cell, c.warmups); r != nil {
		r.print(&c.text)
	}
	return nil
}

func (c *seedConsole) End(_ context.Context, r *result.Run) error {
	doubts(&c.text, r.Entries, 0)
	_, err := io.WriteString(c.w, c.text.String())
	return err
}

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
