package result

import (
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// searched are the entries of a search over the values 1, 2 and 4 whose steps had these
// rungs and times per token; the goal is at most 10 ms.
func searched(t *testing.T, steps ...[2]int64) *Entry {
	t.Helper()
	phases := []plan.Phase{{Name: "steady", Measure: true}}
	c := &plan.Cell{Phases: phases, Search: &plan.Search{
		Name: "s", Vary: "rate", Goal: "goal", Confirm: 0,
		Rungs:   []plan.Rung{{Value: 1, Phases: phases}, {Value: 2, Phases: phases}, {Value: 4, Phases: phases}},
		Program: &metric.Program{Columns: []string{"tpot_ms.p50"}, Consts: []float64{10}, Depth: 2, Bool: true, Code: []metric.Instr{{Op: metric.Col}, {Op: metric.Const}, {Op: metric.Le}}},
	}}
	var out load.Outcome
	var records []record.Record
	for i, s := range steps {
		start := int64(i) * 1000
		r := stream(start+1, 2, start+10, start+10+s[1])
		r.SearchStep = i
		records = append(records, r)
		out.Tried = append(out.Tried, int(s[0]))
		out.Phases = append(out.Phases, load.PhaseOutcome{Start: start * msec, End: (start + 1000) * msec})
	}
	entries := Summarise(c, &plan.Server{}, records, out)
	if len(entries) != 1 || len(entries[0].Search.Steps) != len(steps) {
		t.Fatalf("%d entries", len(entries))
	}
	return &entries[0]
}

func marksOf(e *Entry) string {
	var names []string
	for _, m := range e.Marks {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

func TestSearchMarks(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps [][2]int64 // rung, ms a token
		value float64    // 0: none
		tpot  float64
		want  string
	}{
		{"inside", [][2]int64{{0, 5}, {1, 8}, {2, 15}}, 2, 8, ""},
		{"lowest missed", [][2]int64{{0, 11}}, 0, 11, "search_bound"},
		{"highest met", [][2]int64{{0, 5}, {2, 9}}, 4, 9, "search_bound"},
		{"met above a miss", [][2]int64{{0, 5}, {1, 12}, {2, 9}}, 1, 5, "not_monotonic"},
	} {
		e := searched(t, c.steps...)
		value := 0.0
		if e.Search.Value != nil {
			value = *e.Search.Value
		}
		got := strings.TrimSpace(strings.Replace(marksOf(e), "too_few", "", 1))
		if value != c.value || got != c.want || *e.Metrics["tpot_ms"].P50 != c.tpot {
			t.Errorf("%s: value %v, marks %q, the entry's TPOT %v", c.name, value, got, *e.Metrics["tpot_ms"].P50)
		}
	}
}

// TestPareto: a step stays that no other beats in one number without losing in the other.
func TestPareto(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	steps := []SearchStep{
		{OutputTokensPerS: f(100), OutputTokensPerUser: f(50)},
		{OutputTokensPerS: f(200), OutputTokensPerUser: f(40)},
		{OutputTokensPerS: f(190), OutputTokensPerUser: f(40)}, // beaten by the one before
		{OutputTokensPerS: f(200), OutputTokensPerUser: f(10)}, // as well
		{OutputTokensPerS: f(300)},                             // one token an answer: no speed
	}
	markPareto(steps)
	for i, want := range []bool{true, true, false, false, false} {
		if steps[i].Pareto != want {
			t.Errorf("step %d: %v, want %v", i, steps[i].Pareto, want)
		}
	}
}
