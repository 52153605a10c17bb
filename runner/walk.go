package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"sparkrun/scenario/plan"
)

// TaskResult is how a task ended.
type TaskResult struct {
	Outcome Outcome
	Err     error  // of a failed task
	Cause   string // for skipped and interrupted ones: the task that failed and how
}

// walk runs the tasks in an order that their edges allow and returns how each ended.
//
// One goroutine, the caller's, owns all state; tasks run in their own and report on one
// channel. The state of a task:
//
//	waiting → running     all of Needs succeeded, all of After ended, a slot is free
//	waiting → skipped     one of Needs did not succeed, or Guard was not attempted
//	waiting → interrupted ctx is done and the task is not final
//	running → succeeded, failed
//
// Cells are bounded by parallel; the tasks around them are not. Among the ready, plan
// order decides. Final tasks run whatever happened, exec chooses their context.
func walk(ctx context.Context, tasks []plan.Task, parallel int, exec func(*plan.Task) error, ended func(*plan.Task, TaskResult)) map[string]TaskResult {
	type report struct {
		task *plan.Task
		err  error
	}
	var (
		results   = make(map[string]TaskResult, len(tasks))
		attempted = make(map[string]bool, len(tasks))
		reports   = make(chan report)
		running   int
		cells     int
		stop      = ctx.Done()
	)
	finish := func(t *plan.Task, r TaskResult) {
		results[t.ID] = r
		ended(t, r)
	}
	start := func(t *plan.Task) {
		attempted[t.ID] = true
		running++
		if t.Kind == plan.TaskCell {
			cells++
		}
		go func() { reports <- report{t, protect(t, exec)} }()
	}
	for {
		// Every pass may settle tasks that others wait for, so pass until nothing moves.
		for moved := true; moved; {
			moved = false
			for i := range tasks {
				t := &tasks[i]
				if _, done := results[t.ID]; done || attempted[t.ID] {
					continue
				}
				verdict, ready := judge(ctx, t, results, attempted)
				switch {
				case verdict != nil:
					finish(t, *verdict)
					moved = true
				case ready && (t.Kind != plan.TaskCell || cells < parallel):
					start(t)
				}
			}
		}
		if running == 0 {
			return results
		}
		select {
		case <-stop:
			stop = nil // judge sees ctx from now on
		case r := <-reports:
			running--
			if r.task.Kind == plan.TaskCell {
				cells--
			}
			if r.err != nil {
				finish(r.task, TaskResult{Outcome: Failed, Err: r.err})
			} else {
				finish(r.task, TaskResult{Outcome: Succeeded})
			}
		}
	}
}

// judge says whether a waiting task is settled without running, or ready to run.
func judge(ctx context.Context, t *plan.Task, results map[string]TaskResult, attempted map[string]bool) (verdict *TaskResult, ready bool) {
	for _, id := range t.Needs {
		r, done := results[id]
		if done && r.Outcome != Succeeded && !t.Final {
			if r.Outcome == Interrupted {
				return &TaskResult{Outcome: Interrupted, Cause: r.Cause}, false
			}
			return &TaskResult{Outcome: Skipped, Cause: cause(id, r)}, false
		}
	}
	if ctx.Err() != nil && !t.Final {
		return &TaskResult{Outcome: Interrupted, Cause: context.Cause(ctx).Error()}, false
	}
	for _, ids := range [][]string{t.Needs, t.After} {
		for _, id := range ids {
			if _, done := results[id]; !done {
				return nil, false
			}
		}
	}
	if t.Guard != "" && !attempted[t.Guard] {
		return &TaskResult{Outcome: Skipped, Cause: t.Guard + " was not attempted"}, false
	}
	return nil, true
}

// cause is the sentence that a skipped task passes on: the first failure, not the chain.
func cause(id string, r TaskResult) string {
	if r.Outcome == Failed {
		return fmt.Sprintf("%s failed: %v", id, r.Err)
	}
	return r.Cause
}

// protect turns a panic of a task into its error, so that clean-up still runs.
func protect(t *plan.Task, exec func(*plan.Task) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("%s: internal error: %v (please report it)", t.ID, p), fmt.Errorf("%s", debug.Stack()))
		}
	}()
	return exec(t)
}
