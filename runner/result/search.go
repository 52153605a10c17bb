package result

import (
	"fmt"
	"math"
	"slices"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// Search is what a search has found. The entry that has it is the last measurement of the
// found value, or of the lowest where the goal was met nowhere.
type Search struct {
	Name  string   `json:"name"`
	Vary  string   `json:"vary"` // "rate" or "concurrency"
	Goal  string   `json:"goal"`
	Value *float64 `json:"value"` // the highest that meets the goal, null for none
	// Monotonic is false where the goal was met above a value at which it was missed: the
	// found value is then the lowest edge, not the only one.
	Monotonic bool         `json:"monotonic"`
	Steps     []SearchStep `json:"steps"` // in the order in which they were measured
}

// SearchStep is one measurement of a search.
type SearchStep struct {
	Value   float64 `json:"value"`
	Met     bool    `json:"met"`
	Verdict Verdict `json:"verdict"`
	// Pareto says that no other value has both more throughput and more speed for a user.
	Pareto              bool     `json:"pareto"`
	RequestsPerS        *float64 `json:"requests_per_s"`
	OutputTokensPerS    *float64 `json:"output_tokens_per_s"`
	OutputTokensPerUser *float64 `json:"output_tokens_per_s_per_user"` // median
	TTFT                *float64 `json:"ttft_ms"`                      // median
	TPOT                *float64 `json:"tpot_ms"`                      // median
	Concurrency         *float64 `json:"concurrency_achieved"`
}

// summariseSearch makes the entries of a cell that searches.
func summariseSearch(c *plan.Cell, s *plan.Server, records []record.Record, out load.Outcome) []Entry {
	climb := load.NewClimb(len(c.Search.Rungs), int(c.Search.Confirm))
	found := &Search{Name: c.Search.Name, Vary: c.Search.Vary, Goal: c.Search.Goal}
	byRung := map[int][]Entry{}
	for step, rung := range out.Tried {
		entries := SummariseStep(c, s, records, out, step)
		if len(entries) == 0 && out.Interrupted {
			continue // before it was measured
		}
		if len(entries) == 0 { // aborted in its warm-up
			entries = FailedEntries(c, s, "aborted before anything was measured")
		}
		met := GoalMet(c, entries)
		climb.Report(rung, met)
		byRung[rung] = entries
		found.Steps = append(found.Steps, newSearchStep(c.Search.Rungs[rung].Value, met, &entries[len(entries)-1]))
	}
	if len(found.Steps) == 0 {
		return nil
	}
	found.Monotonic = climb.Monotonic()
	markPareto(found.Steps)
	best := climb.Best()
	entries := byRung[max(0, best)]
	last := &entries[len(entries)-1]
	switch {
	case best < 0:
		last.Add("search_bound", fmt.Sprintf("the goal is missed at %s %g already, the lowest value: begin lower", found.Vary, c.Search.Rungs[0].Value))
	case best == len(c.Search.Rungs)-1:
		last.Add("search_bound", fmt.Sprintf("the goal is met at %s %g, the highest value: go higher", found.Vary, c.Search.Rungs[best].Value))
	}
	if best >= 0 {
		found.Value = ptr(c.Search.Rungs[best].Value)
	}
	if !found.Monotonic {
		last.Add("not_monotonic", "the goal was met above a value at which it was missed: the steps say where; measure longer, or repeat")
	}
	last.Search = found
	return entries
}

// SummariseStep makes the entries of one step of a search.
func SummariseStep(c *plan.Cell, s *plan.Server, records []record.Record, out load.Outcome, step int) []Entry {
	at := *c
	at.Phases = c.Search.Rungs[out.Tried[step]].Phases
	first := step * len(c.Phases)
	out.Phases = out.Phases[min(first, len(out.Phases)):min(first+len(c.Phases), len(out.Phases))]
	last := step == len(out.Tried)-1
	out.Interrupted, out.Exhausted = out.Interrupted && last, out.Exhausted && last
	var own []record.Record
	for i := range records {
		if records[i].SearchStep == step {
			own = append(own, records[i])
		}
	}
	return summarisePhases(&at, s, own, out)
}

// GoalMet reports whether the last measured phase of a step meets the search's goal.
func GoalMet(c *plan.Cell, entries []Entry) bool {
	if len(entries) == 0 {
		return false
	}
	last := &entries[len(entries)-1]
	return last.Requests.OK > 0 && last.Holds(c.Search.Program)
}

// Holds reports whether a condition over result paths is true of the entry; one that hangs
// on a missing number is not.
func (e *Entry) Holds(p *metric.Program) bool {
	values := make([]float64, len(p.Columns))
	for i, path := range p.Columns {
		values[i] = math.NaN()
		if v := e.Value(path); v != nil {
			values[i] = *v
		}
	}
	return p.Scalar(values) == 1
}

func newSearchStep(value float64, met bool, e *Entry) SearchStep {
	return SearchStep{
		Value: value, Met: met, Verdict: e.Verdict,
		RequestsPerS: e.Throughput["requests_per_s"], OutputTokensPerS: e.Throughput["output_tokens_per_s"], Concurrency: e.Throughput["concurrency_achieved"],
		OutputTokensPerUser: e.Value("output_tokens_per_s_per_user.p50"), TTFT: e.Value("ttft_ms.p50"), TPOT: e.Value("tpot_ms.p50"),
	}
}

// markPareto marks the steps that no other one beats in both throughput and speed.
func markPareto(steps []SearchStep) {
	for i := range steps {
		a := &steps[i]
		a.Pareto = a.OutputTokensPerS != nil && a.OutputTokensPerUser != nil && !slices.ContainsFunc(steps, func(b SearchStep) bool {
			return b.OutputTokensPerS != nil && b.OutputTokensPerUser != nil &&
				*b.OutputTokensPerS >= *a.OutputTokensPerS && *b.OutputTokensPerUser >= *a.OutputTokensPerUser &&
				(*b.OutputTokensPerS > *a.OutputTokensPerS || *b.OutputTokensPerUser > *a.OutputTokensPerUser)
		})
	}
}
