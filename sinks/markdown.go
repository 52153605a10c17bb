package sinks

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// markdown is GitHub-flavoured: what the console shows, for a pull request's comment or a
// job's summary.
type markdown struct {
	path   string
	benchy *benchy // nil: our own tables
}

func init() {
	register(schema.Kind{
		Name: "markdown", Doc: "A GitHub-flavoured page of what the console shows.",
		Attrs: append([]schema.Attr{pathAttr("report.md")}, compatAttrs([]string{compatBenchy}, "latency")...), Check: checkCompat,
	}, newMarkdown)
}

func newMarkdown(s plan.Sink, dir string, _ Env) (Sink, error) {
	m := &markdown{path: pathOf(s, dir)}
	if s.Values.String("compat") == compatBenchy {
		y := newBenchy(s)
		m.benchy = &y
	}
	return m, nil
}

func (s *markdown) Path() string { return s.path }

func (s *markdown) Begin(ctx context.Context, r *result.Run) error {
	if s.benchy != nil {
		_ = s.benchy.Begin(ctx, r) // it can't fail
	}
	return writable(s.path)
}

func (s *markdown) Cell(ctx context.Context, c *result.Cell) error {
	if s.benchy == nil {
		return nil
	}
	return s.benchy.Cell(ctx, c)
}

func (s *markdown) End(_ context.Context, r *result.Run) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\nRun `%s`, %s, sparkrun %s on %s (%s/%s).\n", plain(r.Scenario), r.ID, r.Started.UTC().Format(time.RFC3339), plain(r.Version), plain(r.Host), r.OS, r.Arch)
	if r.Simulated {
		b.WriteString("\n**Simulated: not a measurement of a real engine.**\n")
	}
	if r.Interrupted {
		b.WriteString("\n**Interrupted: cells are missing or partial.**\n")
	}
	if len(r.Thresholds) > 0 {
		b.WriteString("\n| threshold | cell | | |\n|---|---|---|---|\n")
		for _, t := range sortedThresholds(r.Thresholds) {
			state := "met"
			switch {
			case t.Undecided:
				state = "**undecided**"
			case !t.Pass:
				state = "**not met**"
			}
			row(&b, plain(t.Name), code(t.Address), state, plain(t.Message))
		}
	}
	if s.benchy != nil {
		b.WriteString(s.benchy.tables(r, plain))
	} else {
		s.grids(&b, r)
	}
	s.doubts(&b, r.Entries)
	if rows := found(r); len(rows) > 0 {
		b.WriteString("\nServers:\n\n")
		for _, row := range rows {
			fmt.Fprintf(&b, "- %s: %s\n", plain(row[0]), plain(row[1]))
		}
	}
	return replace(s.path, func(w io.Writer) error {
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// grids are a grid a benchmark, and what differs between its servers.
func (*markdown) grids(b *strings.Builder, r *result.Run) {
	for _, g := range grids(r.Entries) {
		fmt.Fprintf(b, "\n### benchmark.%s\n\n", plain(g.benchmark))
		g.markdown(b)
		pairs, tested := pairsOf(g.benchmark, r.Entries)
		switch {
		case tested:
			fmt.Fprintf(b, "\nDifferences between servers in `%s` (Mann-Whitney over the repeats, p < 0.05):\n\n", result.Deciding)
			for i := range pairs {
				c := &pairs[i]
				fmt.Fprintf(b, "- %s: %s against %s: %s\n", plain(cellOf(c)), plain(server(c.Other)), plain(server(c.Base)), plain(decision(c)))
			}
		case len(pairs) > 0:
			fmt.Fprintf(b, "\nDifferences between servers: %s.\n", result.NotTested)
		}
	}
}

func (g *grid) markdown(b *strings.Builder) {
	head, line := []string{"", ""}, []string{"---", "---"}
	for _, c := range g.columns {
		head, line = append(head, plain(c)), append(line, "--:")
	}
	row(b, head...)
	row(b, line...)
	for _, s := range shown {
		if !g.shows(s.path) {
			continue
		}
		title := "**" + plain(s.title) + "**"
		for _, r := range g.rows {
			cells := []string{title, plain(r)}
			for _, c := range g.columns {
				cells = append(cells, plain(g.text(r, c, s.path)))
			}
			row(b, cells...)
			title = ""
		}
	}
}

// doubts lists what is not ok or noted, with its sentences.
func (*markdown) doubts(b *strings.Builder, entries []result.Entry) {
	all := doubtsOf(entries)
	if len(all) > 0 {
		b.WriteString("\nMarks and failures (\\* suspect, ! invalid or failed):\n")
	}
	for i := range all {
		d := &all[i]
		if i > 0 && d.of == all[i-1].of {
			b.WriteString("; ")
		} else {
			fmt.Fprintf(b, "\n- %s %s: ", d.of.sign, code(d.of.address))
		}
		if d.mark != "" {
			fmt.Fprintf(b, "`%s`: %s", d.mark, plain(d.why))
		} else {
			b.WriteString(plain(firstLine(d.why)))
		}
	}
	if len(all) > 0 {
		b.WriteByte('\n')
	}
}

// row is a line of a table.
func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// plain is a text that Markdown prints as it is, on one line.
func plain(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "`", "\\`", "<", "&lt;", ">", "&gt;", "[", "\\[", "\n", " ", "\r", " ").Replace(s)
}

// code is a text as code, on one line; it may stand in a table.
func code(s string) string {
	return "`" + strings.NewReplacer("`", "'", "|", "\\|", "\n", " ", "\r", " ").Replace(s) + "`"
}
