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

// value is the median of a number over the repeats of a place, and how many repeats
// have it.
func (g *grid) value(row, col, path string) (v float64, n int) {
	var all []float64
	for _, e := range g.places[[2]string{row, col}] {
		if f := e.Value(path); f != nil {
			all = append(all, *f)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, len(all)
}

// verdict is the worst of the repeats of a place, "" where there is none.
func (g *grid) verdict(row, col string) result.Verdict {
	order := []result.Verdict{result.Failed, result.Invalid, result.Skipped, result.Suspect, result.OK}
	worst := len(order)
	for _, e := range g.places[[2]string{row, col}] {
		if i := slices.Index(order, e.Verdict); i >= 0 && i < worst {
			worst = i
		}
	}
	if worst == len(order) {
		return ""
	}
	return order[worst]
}

// text is a number as the grid shows it: three significant digits, with the verdict
// where it is not ok.
func (g *grid) text(row, col, path string) string {
	v, n := g.value(row, col, path)
	verdict := g.verdict(row, col)
	switch {
	case n == 0 && verdict == "":
		return ""
	case n == 0 && verdict != result.OK && verdict != result.Suspect:
		return string(verdict)
	case n == 0:
		return "–"
	}
	s := short(v)
	switch verdict {
	case result.Suspect:
		s += "*"
	case result.Invalid, result.Failed:
		s += "!"
	}
	return s
}

func short(v float64) string {
	switch {
	case v != v:
		return "–"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
