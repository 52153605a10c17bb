package runner

import (
	"context"
	"fmt"

	"sparkrun/runner/load"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// measure puts a cell's load on its server: once, or with one value after the other where
// the cell searches. In a search the outcome has the phases of all steps, each step goes
// on with the next conversations of the dataset, and a step that aborts has missed the goal.
func measure(ctx context.Context, c *plan.Cell, s *plan.Server, keep *recorder, put putLoad, cfg load.Config) (load.Outcome, error) {
	if c.Search == nil {
		return put(ctx, cfg)
	}
	climb := load.NewClimb(len(c.Search.Rungs), int(c.Search.Confirm))
	var all load.Outcome
	prefix := cfg.IDPrefix
	for rung, ok := climb.Next(); ok && int64(len(all.Tried)) < c.Search.MaxSteps; rung, ok = climb.Next() {
		keep.step, keep.value = len(all.Tried), c.Search.Rungs[rung].Value
		cfg.Phases, cfg.First = c.Search.Rungs[rung].Phases, all.Next
		cfg.Seed = c.Seed + uint64(keep.step)<<32
		cfg.IDPrefix = fmt.Sprintf("%s%d-", prefix, keep.step)
		out, err := put(ctx, cfg)
		all.Tried = append(all.Tried, rung)
		all.Phases = append(all.Phases, out.Phases...)
		all.Workers = addWorkers(all.Workers, out.Workers)
		all.Next, all.Exhausted, all.Interrupted = out.Next, out.Exhausted, out.Interrupted
		if err != nil || out.Interrupted || out.Exhausted || ctx.Err() != nil {
			return all, err
		}
		entries := result.SummariseStep(c, s, keep.records, all, keep.step)
		climb.Report(rung, result.GoalMet(c, entries))
	}
	return all, nil
}
