package sinks

import (
	"math"
	"slices"
	"strings"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// column is a named value of a flat row; nil is undefined.
type column struct {
	name  string
	value any
}

// flat is an entry as one row. The columns are the same for all entries of a run.
func flat(p *plan.Plan, e *result.Entry) []column {
	row := []column{{"cell", e.Address}, {"benchmark", e.Benchmark}, {"server", e.Server}, {"framework", e.Framework}, {"model", e.Model}, {"dataset", e.Dataset}}
	for _, a := range axes(p) {
		var v any
		if s, ok := e.Matrix[a]; ok {
			v = s
		}
		row = append(row, column{"axis_" + a, v})
	}
	var marks []string
	for _, m := range e.Marks {
		marks = append(marks, m.Name)
	}
	row = append(row, column{"repeat", e.Repeat}, column{"phase", e.Phase}, column{"verdict", string(e.Verdict)}, column{"marks", strings.Join(marks, " ")}, column{"cause", e.Cause})
	for _, path := range paths(p) {
		name := strings.TrimPrefix(strings.TrimPrefix(path, "metrics."), "throughput.")
		row = append(row, column{name, number(e.Value(path))})
	}
	return row
}

func number(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

// axes are the names of all axes of a plan, in the order they come up.
func axes(p *plan.Plan) []string {
	var names []string
	for i := range p.Cells {
		for _, a := range p.Cells[i].Address.Axes {
			if !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	}
	return names
}

// narrow reports whether a path is left out of rows: of turns they have the count, p50 and
// p99 alone.
func narrow(path string) bool {
	last := path[strings.LastIndexByte(path, '.')+1:]
	return strings.HasPrefix(path, "turns.") && last != "p50" && last != "p99" && strings.Count(path, ".") == 3
}

// paths are the numbers of an entry, those that people ask for first in front.
func paths(p *plan.Plan) []string {
	var metrics, slos []string
	for i := range p.Cells {
		for _, m := range p.Cells[i].Metrics {
			if !slices.Contains(metrics, m.Name) {
				metrics = append(metrics, m.Name)
			}
		}
		for _, s := range p.Cells[i].SLOs {
			if !slices.Contains(slos, s.Name) {
				slos = append(slos, s.Name)
			}
		}
	}
	all := slices.DeleteFunc(metric.ResultPaths(metrics, slos), narrow)
	if slices.ContainsFunc(p.Cells, func(c plan.Cell) bool { return c.Search != nil }) {
		all = append(all, metric.SearchValue)
	}
	rank := func(path string) int {
		switch first, _, _ := strings.Cut(path, "."); first {
		case "requests", "window":
			return 0
		case "throughput":
			return 1
		case "goodput":
			return 2
		case "metrics":
			return 3
		}
		return 4
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all
}

// requestHeader are the columns of a request's row.
func requestHeader(p *plan.Plan) []string {
	names := []string{"cell", "benchmark"}
	for _, a := range axes(p) {
		names = append(names, "axis_"+a)
	}
	names = append(names, "repeat", "phase", "measured")
	for _, f := range result.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// requestRow is a request as one row under requestHeader.
func requestRow(axes []string, c *plan.Cell, rec *record.Record) []any {
	row := []any{c.Name, c.Address.Benchmark}
	for _, a := range axes {
		if v, ok := c.Address.Value(a); ok {
			row = append(row, v)
		} else {
			row = append(row, nil)
		}
	}
	ph := &c.Phases[rec.Phase]
	row = append(row, c.Address.Repeat, ph.Name, ph.Measure)
	for _, f := range result.Fields() {
		if f.Text != nil {
			if s := f.Text(rec); s != "" {
				row = append(row, s)
			} else {
				row = append(row, nil)
			}
			continue
		}
		if v := f.Value(rec); math.IsNaN(v) || math.IsInf(v, 0) {
			row = append(row, nil)
		} else {
			row = append(row, v)
		}
	}
	return row
}
