package runner

import (
	"fmt"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// skipAbove says why a cell is left out by its benchmark's rule, "" if it is not: a cell
// that differs from it by a smaller value of the rule's axis alone has met the condition,
// or was left out itself.
func (r *run) skipAbove(c *plan.Cell) string {
	rule := r.rule(c.Address.Benchmark)
	if rule == nil {
		return ""
	}
	own := c.Address.Number(rule.Axis)
	value, _ := c.Address.Value(rule.Axis)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.Plan.Cells {
		below := &r.Plan.Cells[i]
		if below.Address.Number(rule.Axis) >= own || below.Address.Instead(map[string]string{rule.Axis: value}).Canonical() != c.Canonical {
			continue
		}
		for _, e := range r.entries[below.Canonical] {
			if e.ByRule || e.Holds(rule.Program) {
				return fmt.Sprintf("skip_above: %s %s: %s", below.Name, map[bool]string{true: "was left out", false: "has met the condition"}[e.ByRule], rule.Source)
			}
		}
	}
	return ""
}

func (r *run) rule(benchmark string) *plan.SkipAbove {
	for i := range r.Plan.Benchmarks {
		if r.Plan.Benchmarks[i].Name == benchmark {
			return r.Plan.Benchmarks[i].SkipAbove
		}
	}
	return nil
}

// leaveOut ends a cell that its benchmark's rule skips. It is what the scenario asked for,
// and no reason for an exit code.
func (r *run) leaveOut(c *plan.Cell, cause string) {
	entries := result.SkippedEntries(c, r.server(c.Server), cause)
	for i := range entries {
		entries[i].ByRule = true
	}
	r.endCell(&result.Cell{Plan: c, Server: r.server(c.Server), Entries: entries}, "skipped", cause)
}
