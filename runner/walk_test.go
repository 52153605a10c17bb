package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/scenario/plan"
)

// A session of tasks as the planner makes them: check → start → cells → stop, and a sink.
func session(id string, cells int, after string) []plan.Task {
	check := plan.Task{ID: id + ".check", Kind: plan.TaskCheck}
	if after != "" {
		check.After = []string{after}
	}
	tasks := []plan.Task{check, {ID: id + ".start", Kind: plan.TaskStart, Needs: []string{id + ".check"}}}
	stop := plan.Task{ID: id + ".stop", Kind: plan.TaskStop, Final: true, Guard: id + ".start", After: []string{id + ".start"}}
	for i := range cells {
		c := plan.Task{ID: fmt.Sprintf("%s.cell%d", id, i), Kind: plan.TaskCell, Needs: []string{id + ".start"}}
		if i > 0 {
			c.After = []string{fmt.Sprintf("%s.cell%d", id, i-1)}
		}
		tasks = append(tasks, c)
		stop.After = append(stop.After, c.ID)
	}
	return append(tasks, stop)
}

func TestFailureSpreadsAlongNeedsAndStopRuns(t *testing.T) {
	tasks := append(session("a", 2, ""), session("b", 1, "a.stop")...)
	var ran []string
	results := walk(t.Context(), tasks, 1, func(task *plan.Task) error {
		ran = append(ran, task.ID)
		if task.ID == "a.start" {
			return errors.New("port taken")
		}
		return nil
	}, func(*plan.Task, TaskResult) {})

	want := []string{"a.check", "a.start", "a.stop", "b.check", "b.start", "b.cell0", "b.stop"}
	if fmt.Sprint(ran) != fmt.Sprint(want) {
		t.Errorf("ran  %v\nwant %v", ran, want)
	}
	r := results["a.cell1"]
	if r.Outcome != Skipped || r.Cause != "a.start failed: port taken" {
		t.Errorf("a.cell1: %+v, want skipped with the first cause", r)
	}
}

func TestAFailedCellDoesNotStopTheNext(t *testing.T) {
	results := walk(t.Context(), session("a", 3, ""), 1, func(task *plan.Task) error {
		if task.ID == "a.cell0" {
			return errors.New("no ok request")
		}
		return nil
	}, func(*plan.Task, TaskResult) {})
	if results["a.cell1"].Outcome != Succeeded || results["a.stop"].Outcome != Succeeded {
		t.Errorf("after a failed cell: %+v", results)
	}
}

func TestPanicIsAFailureAndCleanUpRuns(t *testing.T) {
	results := walk(t.Context(), session("a", 1, ""), 1, func(task *plan.Task) error {
		if task.Kind == plan.TaskCell {
			panic("boom")
		}
		return nil
	}, func(*plan.Task, TaskResult) {})
	if results["a.cell0"].Outcome != Failed || results["a.stop"].Outcome != Succeeded {
		t.Errorf("after a panic: %+v", results)
	}
}

// Whatever fails and whenever the run is interrupted: every attempted start gets exactly
// one stop, nothing starts after the interrupt but final tasks, no more cells run at a
// time than allowed, and the walk ends.
func TestWalkProperties(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			parallel := 1 + rng.IntN(3)
			var tasks []plan.Task
			after := ""
			for s := range 1 + rng.IntN(4) {
				id := fmt.Sprintf("s%d", s)
				tasks = append(tasks, session(id, rng.IntN(4), after)...)
				if after = id + ".stop"; rng.IntN(2) == 0 {
					after = ""
				}
			}
			tasks = append(tasks, plan.Task{ID: "sink", Kind: plan.TaskSink, Final: true})
			length := map[string]time.Duration{}
			fails := map[string]bool{}
			for _, task := range tasks {
				length[task.ID] = time.Duration(1+rng.IntN(50)) * time.Second
				fails[task.ID] = rng.IntN(5) == 0
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			stopped := time.Now().Add(time.Duration(rng.IntN(400)) * time.Second)
			time.AfterFunc(time.Until(stopped), func() { cancel(errors.New("interrupt")) })

			var mu sync.Mutex
			ran := map[string]int{}
			cells := 0
			results := walk(ctx, tasks, parallel, func(task *plan.Task) error {
				mu.Lock()
				ran[task.ID]++
				if task.Kind == plan.TaskCell {
					cells++
				}
				if cells > parallel {
					t.Errorf("seed %d: %d cells at a time, %d allowed", seed, cells, parallel)
				}
				if !task.Final && time.Now().After(stopped) {
					t.Errorf("seed %d: %s started after the interrupt", seed, task.ID)
				}
				mu.Unlock()
				time.Sleep(length[task.ID])
				mu.Lock()
				if task.Kind == plan.TaskCell {
					cells--
				}
				mu.Unlock()
				if fails[task.ID] {
					return errors.New("fails")
				}
				return nil
			}, func(*plan.Task, TaskResult) {})

			cancel(nil)
			if len(results) != len(tasks) {
				t.Errorf("seed %d: %d results of %d tasks", seed, len(results), len(tasks))
			}
			for _, task := range tasks {
				if ran[task.ID] > 1 {
					t.Errorf("seed %d: %s ran %d times", seed, task.ID, ran[task.ID])
				}
				if task.Kind == plan.TaskStop && ran[task.ID] != ran[task.Guard] {
					t.Errorf("seed %d: %s ran %d times, its start %d", seed, task.ID, ran[task.ID], ran[task.Guard])
				}
			}
			if ran["sink"] != 1 {
				t.Errorf("seed %d: the sink ran %d times", seed, ran["sink"])
			}
		})
	}
}
