package sinks

import (
	"slices"
	"strings"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// column is a typed value of a flat row.
type column struct {
	table.Column
	value table.Value
}

// flat is an entry as one row. The columns are the same for all entries of a run.
func flat(p *plan.Plan, e *result.Entry) []column {
	var row []column
	text := func(name string, v table.Value) {
		row = append(row, column{table.Column{Name: name, Type: table.Text, Few: true}, v})
	}
	for _, t := range [][2]string{{"cell", e.Address}, {"benchmark", e.Benchmark}, {"server", e.Server}, {"framework", e.Framework}, {"model", e.Model}, {"dataset", e.Dataset}} {
		text(t[0], table.TextOf(t[1]))
	}
	for _, a := range axes(p) {
		var v table.Value
		if s, ok := e.Matrix[a]; ok {
			v = table.TextOf(s)
		}
		text("axis_"+a, v)
	}
	var marks, why []string
	for _, m := range e.Marks {
		marks, why = append(marks, m.Name), append(why, m.Name+": "+m.Why)
	}
	row = append(row, column{table.Column{Name: "repeat", Type: table.Whole, Few: true}, table.WholeOf(int64(e.Repeat))})
	for _, t := range [][2]string{{"phase", e.Phase}, {"verdict", string(e.Verdict)}, {"marks", strings.Join(marks, " ")}, {"why", strings.Join(why, "; ")}, {"cause", e.Cause}} {
		text(t[0], table.TextOf(t[1]))
	}
	for _, path := range paths(p) {
		c := column{Column: table.Column{Name: strings.TrimPrefix(strings.TrimPrefix(path, "metrics."), "throughput."), Type: table.Real}}
		if counts(path) {
			c.Type = table.Whole
		}
		if f := e.Value(path); f != nil {
			c.value = table.Number(c.Type, *f)
		}
		row = append(row, c)
	}
	return row
}

// number is a number as spreadsheets take it, nil for null.
func number(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

// counts reports whether a path is a count: a whole number.
func counts(path string) bool {
	return strings.HasSuffix(path, ".count") || strings.HasPrefix(path, "requests.") && path != "requests.success_rate"
}

// entryColumns are the columns of flat.
func entryColumns(p *plan.Plan) []table.Column {
	var columns []table.Column
	for _, c := range flat(p, &result.Entry{}) {
		columns = append(columns, c.Column)
	}
	return columns
}

// entryRow is an entry under entryColumns.
func entryRow(p *plan.Plan, e *result.Entry) []table.Value {
	var row []table.Value
	for _, c := range flat(p, e) {
		row = append(row, c.value)
	}
	return row
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

// requestColumns are the columns of a request's row.
func requestColumns(p *plan.Plan) []table.Column {
	columns := []table.Column{{Name: "cell", Few: true}, {Name: "benchmark", Few: true}}
	for _, a := range axes(p) {
		columns = append(columns, table.Column{Name: "axis_" + a, Few: true})
	}
	columns = append(columns, table.Column{Name: "repeat", Type: table.Whole, Few: true}, table.Column{Name: "phase", Few: true}, table.Column{Name: "measured", Type: table.Flag})
	for _, f := range result.Fields() {
		columns = append(columns, f.Column())
	}
	return columns
}

// requestRow is a request as one row under requestColumns.
func requestRow(axes []string, c *plan.Cell, rec *record.Record) []table.Value {
	row := []table.Value{table.TextOf(c.Name), table.TextOf(c.Address.Benchmark)}
	for _, a := range axes {
		if v, ok := c.Address.Value(a); ok {
			row = append(row, table.TextOf(v))
		} else {
			row = append(row, table.Value{})
		}
	}
	ph := &c.Phases[rec.Phase]
	row = append(row, table.WholeOf(int64(c.Address.Repeat)), table.TextOf(ph.Name), table.FlagOf(ph.Measure))
	for _, f := range result.Fields() {
		row = append(row, f.Of(rec))
	}
	return row
}

// untyped are the values as other libraries take them, nil for null.
func untyped(columns []table.Column, row []table.Value) []any {
	out := make([]any, len(row))
	for i, v := range row {
		out[i] = v.Any(columns[i].Type)
	}
	return out
}
