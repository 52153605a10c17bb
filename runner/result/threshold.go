package result

import (
	"fmt"
	"maps"
	"math"
	"strings"

	"sparkrun/scenario/addr"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// Baseline is an earlier run that thresholds compare with.
type Baseline struct {
	Name    string // as people know it
	Entries []Entry
}

// Thresholds judges every threshold of the plan on the entries it is meant for: on the
// median of a cell's repeats, or on each. baseline is nil where there is none. An error
// names the thresholds that are meant for nothing.
func Thresholds(p *plan.Plan, entries []Entry, baseline *Baseline) ([]ThresholdResult, error) {
	var results []ThresholdResult
	var idle []string
	for i := range p.Thresholds {
		t := &p.Thresholds[i]
		groups := group(t, p, entries)
		if len(groups) == 0 {
			idle = append(idle, fmt.Sprintf("threshold %s (%s) matches no cell: check its where and phase", t.Name, t.Range))
		}
		for _, g := range groups {
			results = append(results, judge(t, g, entries, baseline))
		}
	}
	if idle != nil {
		return results, fmt.Errorf("%s", strings.Join(idle, "; "))
	}
	return results, nil
}

// repeats are the entries that a threshold sees as one.
type repeats struct {
	address string
	entries []*Entry
}

func group(t *plan.Threshold, p *plan.Plan, entries []Entry) []repeats {
	names := map[string]string{} // address → without the repeat
	for i := range p.Cells {
		names[p.Cells[i].Name] = p.Cells[i].Address.WithoutRepeat()
	}
	var groups []repeats
	at := map[string]int{}
	for i := range entries {
		e := &entries[i]
		if !meant(t, e) {
			continue
		}
		address := e.Address
		if t.Over == "median" {
			address = names[e.Address]
		}
		key := address + " " + e.Phase
		n, ok := at[key]
		if !ok {
			n = len(groups)
			at[key] = n
			groups = append(groups, repeats{address: address})
		}
		groups[n].entries = append(groups[n].entries, e)
	}
	return groups
}

func meant(t *plan.Threshold, e *Entry) bool {
	if e.ByRule {
		return false
	}
	for axis, want := range t.Where {
		got, ok := e.Matrix[axis]
		switch axis {
		case "benchmark":
			got, ok = e.Benchmark, true
		case "repeat":
			got, ok = fmt.Sprint(e.Repeat), true
		}
		if !ok || (got != want && addr.Base(got) != want) {
			return false
		}
	}
	return t.Phase == "" || t.Phase == e.Phase
}

// judge evaluates the condition on the medians of what it reads. A value that one of the
// repeats lacks is null, and a condition that hangs on it undecided.
func judge(t *plan.Threshold, g repeats, entries []Entry, baseline *Baseline) ThresholdResult {
	r := ThresholdResult{
		Name: t.Name, Address: g.address, Phase: g.entries[0].Phase,
		Source: t.Source, Values: map[string]*float64{},
	}
	values := make([]float64, len(t.Program.Columns))
	missing := ""
	for i, column := range t.Program.Columns {
		of, path, why := side(t, column, g, entries, baseline)
		v, ok := medianOf(of, path)
		values[i] = v
		r.Values[column] = ptr(v)
		if !ok && missing == "" {
			if missing = shortPath(column) + " is missing"; why != "" {
				missing = why
			}
		}
	}
	verdict := t.Program.Scalar(values)
	r.Pass, r.Undecided = verdict == 1, math.IsNaN(verdict)
	if !r.Pass {
		r.Message = message(t, &r, missing)
	}
	return r
}

// side is the entries that a column is read from, and its path in them: those of the cell
// itself, of a peer or of the baseline. why says what keeps there from being any.
func side(t *plan.Threshold, column string, g repeats, entries []Entry, baseline *Baseline) (of []*Entry, path, why string) {
	first := g.entries[0]
	if path, ok := strings.CutPrefix(column, "baseline."); ok {
		if baseline == nil {
			return nil, path, "no --baseline was given"
		}
		of = alike(t, g, first.Matrix, baseline.Entries)
		switch {
		case of == nil:
			return nil, path, "the baseline " + baseline.Name + " has no such cell"
		case of[0].Workload != first.Workload:
			return nil, path, "the baseline " + baseline.Name + " had another workload"
		}
		return of, path, ""
	}
	for name, axes := range t.Peers {
		if path, ok := strings.CutPrefix(column, name+"."); ok {
			matrix := maps.Clone(first.Matrix)
			maps.Copy(matrix, axes)
			if of = alike(t, g, matrix, entries); of == nil {
				why = "there is no " + name + " beside this cell"
			}
			return of, path, why
		}
	}
	return g.entries, column, ""
}

// alike are the entries of the cell with these axis values, in the benchmark, phase and
// (where each is judged) repeat of g.
func alike(t *plan.Threshold, g repeats, matrix map[string]string, entries []Entry) []*Entry {
	var out []*Entry
	for i := range entries {
		e := &entries[i]
		if e.Benchmark == g.entries[0].Benchmark && e.Phase == g.entries[0].Phase && maps.Equal(e.Matrix, matrix) && (t.Over == "median" || e.Repeat == g.entries[0].Repeat) {
			out = append(out, e)
		}
	}
	return out
}

// medianOf is the median of a number that all entries have, NaN and false else.
func medianOf(entries []*Entry, path string) (float64, bool) {
	values := valuesOf(entries, path)
	if len(values) == 0 || len(values) < len(entries) {
		return math.NaN(), false
	}
	return median(values), true
}

// message is the threshold's own sentence and the values that it is about.
func message(t *plan.Threshold, r *ThresholdResult, missing string) string {
	var read []string
	for _, column := range t.Program.Columns {
		v := "null"
		if r.Values[column] != nil {
			v = fmt.Sprintf("%.6g", *r.Values[column])
		}
		read = append(read, shortPath(column)+" = "+v)
	}
	sentence := t.ErrorMessage
	if sentence == "" {
		sentence = "not met: " + t.Source
	}
	if r.Undecided {
		sentence += " (undecided: " + missing + ")"
	}
	return fmt.Sprintf("%s [%s]", sentence, strings.Join(read, ", "))
}

// shortPath is a column as a scenario writes it.
func shortPath(column string) string {
	head := ""
	if i := strings.Index(column, ")."); i >= 0 {
		head, column = column[:i+2], column[i+2:]
	} else if rest, ok := strings.CutPrefix(column, "baseline."); ok {
		head, column = "baseline.", rest
	}
	return head + strings.TrimPrefix(strings.TrimPrefix(column, "metrics."), "throughput.")
}

// Value is the number at a path of metric.ResultPaths, nil where it is null.
func (e *Entry) Value(path string) *float64 {
	part := strings.Split(metric.FullPath(path), ".")
	switch {
	case len(part) == 3 && part[0] == "metrics" && e.Metrics[part[1]] != nil:
		return e.Metrics[part[1]].value(part[2])
	case len(part) == 2 && part[0] == "throughput":
		return e.Throughput[part[1]]
	case len(part) == 2 && part[0] == "whole_run":
		return e.WholeRun[part[1]]
	case len(part) == 2 && part[0] == "telemetry":
		return e.Telemetry[part[1]]
	case len(part) == 3 && part[0] == "goodput" && e.Goodput[part[1]] != nil:
		if part[2] == "requests_per_s" {
			return e.Goodput[part[1]].RequestsPerS
		}
		return e.Goodput[part[1]].Attainment
	case path == metric.SearchValue && e.Search != nil:
		return e.Search.Value
	case len(part) > 1 && part[0] == "turns":
		return e.Turns.value(part[1:])
	case len(part) == 2 && part[0] == "window":
		return e.Window.value(part[1])
	case len(part) == 2 && part[0] == "requests":
		n := e.Requests
		return map[string]*float64{
			"scheduled": ptr(float64(n.Scheduled)), "ok": ptr(float64(n.OK)), "failed": ptr(float64(n.Failed)), "success_rate": n.SuccessRate,
		}[part[1]]
	}
	return nil
}

func (w *Window) value(name string) *float64 {
	switch name {
	case "seconds":
		return &w.Seconds
	case "drift":
		return w.Drift
	case "trend_p":
		return w.TrendP
	case "quiet_ms":
		return w.QuietMS
	}
	return nil
}

func (s *Stats) value(name string) *float64 {
	switch name {
	case "count":
		return ptr(float64(s.Count))
	case "mean":
		return s.Mean
	case "std":
		return s.Std
	case "min":
		return s.Min
	case "p25":
		return s.P25
	case "p50":
		return s.P50
	case "p75":
		return s.P75
	case "p90":
		return s.P90
	case "p95":
		return s.P95
	case "p99":
		return s.P99
	case "p999":
		return s.P999
	case "p9999":
		return s.P9999
	case "max":
		return s.Max
	}
	return nil
}
