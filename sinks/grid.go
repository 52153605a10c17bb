package sinks

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"sparkrun/runner/result"
)

// grid is a benchmark's results with engines as columns: the repeats of a cell are one
// place in it.
type grid struct {
	benchmark string
	columns   []string // servers
	rows      []string // the other axes, and the phase where there are several
	places    map[[2]string][]*result.Entry
}

// grids makes a grid of each benchmark's entries.
func grids(entries []result.Entry) []*grid {
	var out []*grid
	phases := map[string]map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if phases[e.Benchmark] == nil {
			phases[e.Benchmark] = map[string]bool{}
		}
		phases[e.Benchmark][e.Phase] = true
	}
	for i := range entries {
		e := &entries[i]
		n := slices.IndexFunc(out, func(g *grid) bool { return g.benchmark == e.Benchmark })
		if n < 0 {
			n = len(out)
			out = append(out, &grid{benchmark: e.Benchmark, places: map[[2]string][]*result.Entry{}})
		}
		g := out[n]
		col := strings.TrimPrefix(e.Server, "server.")
		row := rowName(e, len(phases[e.Benchmark]) > 1)
		if !slices.Contains(g.columns, col) {
			g.columns = append(g.columns, col)
		}
		if !slices.Contains(g.rows, row) {
			g.rows = append(g.rows, row)
		}
		g.places[[2]string{row, col}] = append(g.places[[2]string{row, col}], e)
	}
	for _, g := range out {
		sort.SliceStable(g.rows, func(i, j int) bool { return natural(g.rows[i], g.rows[j]) })
	}
	return out
}

func rowName(e *result.Entry, phase bool) string {
	var parts []string
	for _, a := range e.Axes {
		if a != "server" {
			parts = append(parts, a+"="+e.Matrix[a])
		}
	}
	if phase {
		parts = append(parts, e.Phase)
	}
	if len(parts) == 0 {
		return e.Phase
	}
	return strings.Join(parts, ", ")
}

// natural orders texts with the numbers in them by value.
func natural(a, b string) bool {
	digits := func(s string) (n int) {
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n
	}
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			p, q := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if p != q {
				return len(p) < len(q) || len(p) == len(q) && p < q
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return a[0] < b[0]
		}
		a, b = a[1:], b[1:]
	}
	return len(a) < len(b)
}

// value is a number over the repeats of a place, false where none has it.
func (g *grid) value(row, col, path string) (result.Spread, bool) {
	return result.SpreadOf(g.places[[2]string{row, col}], path)
}

// has reports whether a place of the grid has a number.
func (g *grid) has(path string) bool {
	for _, entries := range g.places {
		if _, ok := result.SpreadOf(entries, path); ok {
			return true
		}
	}
	return false
}

// verdict is the worst of the repeats of a place, "" where there is none.
func (g *grid) verdict(row, col string) result.Verdict {
	if at := g.places[[2]string{row, col}]; len(at) > 0 {
		return result.Worst(at)
	}
	return ""
}

// text is a number as the grid shows it: the median with three significant digits, the
// range of the repeats where there are several, a sign where the verdict is not ok.
func (g *grid) text(row, col, path string) string {
	v, ok := g.value(row, col, path)
	verdict := g.verdict(row, col)
	switch {
	case !ok && verdict == "":
		return ""
	case !ok && verdict != result.OK && verdict != result.Suspect:
		return string(verdict)
	case !ok:
		return "–"
	}
	s := short(v.Median)
	switch verdict {
	case result.Suspect:
		s += "*"
	case result.Invalid, result.Failed:
		s += "!"
	}
	if v.N > 1 {
		s += " (" + extent(v) + ")"
	}
	return s
}

// extents are the ranges of a row's repeats, false where no place of it has several.
func (g *grid) extents(row, path string) (texts []any, several bool) {
	for _, col := range g.columns {
		text := ""
		if v, ok := g.value(row, col, path); ok && v.N > 1 {
			several, text = true, extent(v)
			if v.Low != nil {
				text += fmt.Sprintf(", median within %s–%s (95 %%)", short(*v.Low), short(*v.High))
			}
		}
		texts = append(texts, text)
	}
	return texts, several
}

// extent is the range of the repeats, "64.9–66.3".
func extent(v result.Spread) string { return short(v.Min) + "–" + short(v.Max) }

// short is a number as people read it: about three digits.
func short(v float64) string {
	switch {
	case v != v:
		return "–"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v > 0 && v < 0.1:
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.2f", v)
}
