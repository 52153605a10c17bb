package runner

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// crowded is a server whose time per token grows with what is in flight: 2 ms + 0.2 ms a
// request. 20 users get 6 ms, so that a limit of 6.1 ms is a knee at 20.
type crowded struct {
	clock    record.Clock
	inFlight *atomic.Int64
}

func (c crowded) Do(_ context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	rec.Sent = c.clock.Now()
	c.inFlight.Add(1)
	time.Sleep(10 * time.Millisecond)
	rec.FirstToken, rec.FirstOut, rec.FirstEventTokens, rec.OutputTokens = c.clock.Now(), c.clock.Now(), 1, 11
	rec.Events = append(rec.Events, record.Event{At: rec.FirstToken})
	for range 10 {
		time.Sleep(2*time.Millisecond + time.Duration(c.inFlight.Load())*200*time.Microsecond)
		rec.Events = append(rec.Events, record.Event{At: c.clock.Now()})
	}
	c.inFlight.Add(-1)
	rec.LastToken, rec.StreamEnd = c.clock.Now(), c.clock.Now()
}

type endless struct{}

func (endless) Open(int64) (load.Conversation, error) { return &once{}, nil }

type once struct{ done bool }

func (*once) Turns() int { return 1 }
func (o *once) Next(*record.Record, *record.Request) (bool, error) {
	was := o.done
	o.done = true
	return !was, nil
}

// searching is a cell that looks for the most users from 1 to 64 whose median TPOT is at
// most limit ms.
func searching(limit float64) *plan.Cell {
	c := &plan.Cell{Name: "benchmark.b#1", Canonical: "benchmark.b#1", Number: 1, Search: &plan.Search{
		Name: "users", Vary: "concurrency", Goal: "result.tpot_ms.p50 <= limit", MaxSteps: 30, Confirm: 1,
		Program: &metric.Program{Columns: []string{"tpot_ms.p50"}, Consts: []float64{limit}, Depth: 2, Bool: true, Code: []metric.Instr{{Op: metric.Col}, {Op: metric.Const}, {Op: metric.Le}}},
	}}
	for n := 1.0; n <= 64; n++ {
		level := &plan.Curve{From: n, To: n}
		c.Search.Rungs = append(c.Search.Rungs, plan.Rung{Value: n, Phases: []plan.Phase{
			{Name: "warmup", Requests: int64(n), Concurrency: level}, {Name: "steady", Measure: true, Duration: 5 * time.Second, Concurrency: level},
		}})
	}
	c.Phases = c.Search.Rungs[0].Phases
	return c
}

func runSearch(t *testing.T, c *plan.Cell) (out load.Outcome, keep *recorder) {
	t.Helper()
	st, err := store.Create(t.TempDir(), "s", "one")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		rows, err := st.CreateRows(&result.Run{}, c)
		if err != nil {
			t.Fatal(err)
		}
		clock := record.NewClock()
		keep = &recorder{rows: rows}
		out, err = measure(t.Context(), c, &plan.Server{}, keep, load.Run, load.Config{
			Conversations: c.Conversations, Source: endless{}, Doer: crowded{clock, new(atomic.Int64)}, Recorder: keep, Clock: clock, IDPrefix: "r-",
		})
		if err == nil {
			err = rows.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	// What the disk has gives the same entries: the run can be resumed and exported.
	back, _, err := st.ReadRows(1)
	if err != nil || len(back) != len(keep.records) {
		t.Errorf("%d rows of %d records: %v", len(back), len(keep.records), err)
	}
	return out, &recorder{records: back}
}

func TestSearchFindsTheKnee(t *testing.T) {
	c := searching(6.1)
	out, keep := runSearch(t, c)
	entries := result.Summarise(c, &plan.Server{}, keep.records, out)
	if len(entries) != 1 || entries[0].Search == nil || entries[0].Search.Value == nil {
		t.Fatalf("%+v", entries)
	}
	e := &entries[0]
	if got := *e.Search.Value; got != 20 || !e.Search.Monotonic || len(e.Search.Steps) > 12 {
		t.Errorf("found %v in %d steps, want 20: %+v", got, len(e.Search.Steps), e.Search.Steps)
	}
	if v := e.Value(metric.SearchValue); v == nil || *v != 20 {
		t.Errorf("result.search.value is %v", v)
	}
	// The entry is the found value's own: about 20 in flight, 6 ms a token.
	if n, tpot := e.Throughput["concurrency_achieved"], e.Metrics["tpot_ms"].P50; *n < 19 || *n > 20.5 || *tpot < 5.8 || *tpot > 6.1 {
		t.Errorf("%v in flight, %v ms a token", *n, *tpot)
	}
	ids, conversations := map[string]bool{}, map[int64]bool{}
	for _, r := range keep.records {
		if ids[r.ID] || conversations[r.Conversation] {
			t.Fatalf("request %s, conversation %d: twice", r.ID, r.Conversation)
		}
		ids[r.ID], conversations[r.Conversation] = true, true
	}
}

func TestSearchAtTheEndsOfItsRange(t *testing.T) {
	for limit, want := range map[float64]string{1: "missed at concurrency 1", 100: "met at concurrency 64"} {
		c := searching(limit)
		out, keep := runSearch(t, c)
		e := result.Summarise(c, &plan.Server{}, keep.records, out)[0]
		found := false
		for _, m := range e.Marks {
			found = found || m.Name == "search_bound" && strings.Contains(m.Why, want)
		}
		if !found || (e.Search.Value == nil) != (limit == 1) {
			t.Errorf("limit %v: marks %v, value %v", limit, e.Marks, e.Search.Value)
		}
	}
}
