package generator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering answers each request after a time of its own.
type answering struct {
	clock record.Clock
	takes time.Duration
	url   string
	sent  *atomic.Int64
}

func (a answering) Do(ctx context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	time.Sleep(time.Duration(r.Scheduled - a.clock.Now())) // given ahead
	rec.Sent = a.clock.Now()
	a.sent.Add(1)
	select {
	case <-time.After(a.takes):
		rec.FirstToken = rec.Sent + int64(a.takes) // as on a machine that is not busy
		rec.LastToken, rec.OutputTokens = rec.FirstToken, 3
		rec.Events = []record.Event{{At: rec.FirstToken}}
		rec.Answer.Content = a.url + " to " + string(r.Body)
	case <-ctx.Done():
		rec.Status = record.Cancelled
	}
	rec.StreamEnd = a.clock.Now()
}

func (answering) Close() error { return nil }

// cards is a dataset of so many conversations (0: endless) of so many turns.
type cards struct{ count, turns int64 }

func (c cards) Open(int64) (load.Conversation, error) { return nil, errors.New("not here") }

func (c cards) Deal(i int64) ([]byte, error) {
	if c.count > 0 && i >= c.count {
		return nil, load.ErrExhausted
	}
	type turn struct {
		User string `json:"user"`
	}
	d := struct {
		ID    string `json:"id"`
		Turns []turn `json:"turns"`
	}{ID: strconv.FormatInt(i, 10)}
	for k := range max(1, c.turns) {
		d.Turns = append(d.Turns, turn{fmt.Sprintf("%d.%d", i, k)})
	}
	return json.Marshal(d)
}

// fake is a fleet of workers in this process.
type fake struct {
	*Fleet
	cut      []func() // ends a worker's stream, as its death does
	replicas int      // of the server; 0 is 1
	balance  string
	sent     atomic.Int64 // requests, of all loads
}

func newFake(t *testing.T, n int, takes time.Duration) *fake {
	t.Helper()
	f := &fake{}
	var serving sync.WaitGroup
	var arrived []arrival
	for rank := range n {
		stdin, in, _ := os.Pipe()
		out, stdout, _ := os.Pipe()
		w := &Worker{
			Lookup: func(name string) (string, bool) {
				v, ok := map[string]string{rankVariable: strconv.Itoa(rank), sizeVariable: strconv.Itoa(n)}[name]
				return v, ok
			},
			Stdin: stdin, Stdout: stdout, Version: "test",
			Doer: func(ep targets.Endpoint, _ *plan.Cell, clock record.Clock) (load.Client, error) {
				return answering{clock, takes, ep.URL, &f.sent}, nil
			},
			Forced: func(string, int, int) map[string]any { return nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.cut = append(f.cut, func() { cancel(); stdout.Close() })
		serving.Go(func() {
			defer cancel()
			if err := w.Serve(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, os.ErrClosed) {
				t.Errorf("worker %d: %v", rank, err)
			}
		})
		c := newConn(streams{out, in})
		h, err := meet(t.Context(), c, "test", n)
		if err != nil {
			t.Fatal(err)
		}
		arrived = append(arrived, arrival{hello: h, conn: c})
	}
	f.Fleet = newFleet(record.NewClock(), arrived, func(context.Context) error { return nil })
	t.Cleanup(func() {
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
		for _, cut := range f.cut {
			cut()
		}
		serving.Wait()
	})
	return f
}

type records struct {
	all []record.Record
	on  func(rec *record.Record)
}

func (r *records) Record(rec *record.Record) {
	if r.on != nil {
		r.on(rec)
	}
	r.all = append(r.all, *rec)
}

// target is a server with so many replicas, one where the test does not say.
func (f *fake) target() Target {
	t := Target{Cell: &plan.Cell{API: "chat", Stream: true}, Balance: f.balance}
	for i := range max(1, f.replicas) {
		t.Endpoints = append(t.Endpoints, targets.Endpoint{URL: strconv.Itoa(i)})
	}
	return t
}

func (f *fake) play(t *testing.T, cfg load.Config) (*records, load.Outcome, error) {
	t.Helper()
	kept, _ := cfg.Recorder.(*records)
	if kept == nil {
		kept = &records{}
	}
	cfg.Recorder, cfg.Clock, cfg.IDPrefix = kept, f.clock, "t-"
	if cfg.Source == nil {
		cfg.Source = cards{}
	}
	out, err := f.Run(t.Context(), cfg, f.target())
	return kept, out, err
}

func level(n float64) *plan.Curve { return &plan.Curve{From: n, To: n} }

// TestOpenLoopIsTheSchedule: each arrival of the schedule once, at its time, with its
// conversation, from the rank that it belongs to.
func TestOpenLoopIsTheSchedule(t *testing.T) {
	f := newFake(t, 3, 20*time.Millisecond)
	p := plan.Phase{Name: "steady", Measure: true, Duration: time.Second, Rate: level(200), Arrival: "poisson", RateOf: "requests"}
	got, out, err := f.play(t, load.Config{Seed: 5, Phases: []plan.Phase{p}})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got.all, func(a, b record.Record) int { return int(a.Scheduled - b.Scheduled) })
	want := load.Arrivals(&p, 0, 5, load.Share{})
	k := int64(0)
	for at, ok := want.Next(0, k); ok && at < p.Duration; at, ok = want.Next(0, k) {
		if int(k) >= len(got.all) {
			t.Fatalf("%d records; arrival %d is missing", len(got.all), k)
		}
		r := got.all[k]
		if due := time.Duration(r.Scheduled - out.Phases[0].Start); due != at || r.Conversation != k || r.Rank != int32(k%3) || r.Status != record.OK {
			t.Fatalf("arrival %d at %s: got %+v at %s", k, at, r, due)
		}
		if !strings.HasSuffix(r.ConversationID, strconv.FormatInt(k, 10)) || r.Sent < r.Scheduled-int64(time.Millisecond) {
			t.Errorf("arrival %d: %+v", k, r)
		}
		k++
	}
	if int(k) != len(got.all) || out.Phases[0].Scheduled != k || out.Phases[0].End-out.Phases[0].Start != int64(p.Duration) || k < 150 {
		t.Errorf("%d records of %d arrivals, %+v", len(got.all), k, out)
	}
	for i, w := range out.Workers {
		if w.Rank != i || w.Pid != os.Getpid() || w.Lost != "" || w.OffsetError <= 0 || w.Requests == 0 {
			t.Errorf("worker %+v", w)
		}
	}
	if out.Next < k || out.Next%3 != 0 {
		t.Errorf("the next load begins with conversation %d", out.Next)
	}
}

// TestClosedLoopPhases: several phases, several turns, one job after the other.
func TestClosedLoopPhases(t *testing.T) {
	f := newFake(t, 3, 10*time.Millisecond)
	next := int64(0)
	played := map[int64]bool{}
	for range 2 {
		got, out, err := f.play(t, load.Config{Source: cards{turns: 2}, First: next, Phases: []plan.Phase{
			{Name: "warmup", Requests: 1e6, UntilStable: true, Concurrency: level(5)},
			{Name: "ramp", Duration: 100 * time.Millisecond, Concurrency: &plan.Curve{From: 1, To: 7}},
			{Name: "steady", Measure: true, Requests: 50, Concurrency: level(7), ThinkTime: dist.Dist{Kind: dist.Uniform, Min: ptr(0), Max: ptr(1e6)}},
			{Name: "least", Measure: true, Duration: 50 * time.Millisecond, MinRequests: 60, Concurrency: level(7)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		in, turns := map[int]int{}, map[string]bool{}
		slots := map[int32]bool{}
		for _, r := range got.all {
			in[r.Phase]++
			if r.Phase == 2 {
				slots[r.Worker] = true
			}
			id := fmt.Sprint(r.Conversation, ".", r.Turn)
			if turns[id] || played[r.Conversation] || int32(r.Conversation-next)%3 != r.Rank {
				t.Errorf("%s twice, or of another rank: %+v", id, r)
			}
			turns[id] = true
		}
		for _, r := range got.all {
			played[r.Conversation] = true
		}
		if in[0] >= 1e6 || in[2] != 50 || in[3] < 60 || len(slots) != 7 {
			t.Errorf("requests by phase %v, slots %v", in, slots)
		}
		for i := 1; i < len(out.Phases); i++ {
			if out.Phases[i].Start < out.Phases[i-1].End {
				t.Errorf("phase %d begins before the one before it has ended: %+v", i, out.Phases)
			}
		}
		if len(out.Phases) != 4 || out.Phases[0].Unstable || out.Phases[2].Start != out.Phases[1].Start+int64(100*time.Millisecond) {
			t.Errorf("phases %+v", out.Phases)
		}
		next = out.Next
	}
}

func ptr(f float64) *float64 { return &f }

func TestDatasetEnds(t *testing.T) {
	f := newFake(t, 3, time.Millisecond)
	got, out, err := f.play(t, load.Config{Source: cards{count: 100}, Phases: []plan.Phase{{Duration: 30 * time.Second, Concurrency: level(6)}}})
	if err != nil || !out.Exhausted || len(got.all) != 100 {
		t.Errorf("%d records, %+v, %v", len(got.all), out, err)
	}
	// Fewer slots than workers: those without one do not keep conversations to themselves.
	got, out, err = f.play(t, load.Config{Source: cards{count: 20}, Phases: []plan.Phase{{Duration: 30 * time.Second, Concurrency: level(2)}}})
	if err != nil || len(got.all) != 20 || len(out.Workers) != 2 {
		t.Errorf("%d records of 20 conversations, %d workers, %v", len(got.all), len(out.Workers), err)
	}
}

// TestReplicas: the workers of a server with several replicas use all of them. A
// conversation stays where it began, or its turns go here and there, and each record says
// where; of the same number of requests in flight each worker's own count.
func TestReplicas(t *testing.T) {
	for _, balance := range []string{"least_busy", load.RoundRobin} {
		f := newFake(t, 2, 10*time.Millisecond)
		f.replicas, f.balance = 2, balance
		got, _, err := f.play(t, load.Config{Source: cards{turns: 3}, KeepAnswers: true, Phases: []plan.Phase{{Conversations: 40, Concurrency: level(8)}}})
		if err != nil || len(got.all) != 120 {
			t.Fatalf("%s: %d requests, %v", balance, len(got.all), err)
		}
		of, homes := map[[2]int32]int{}, map[int64]map[int32]bool{}
		for _, r := range got.all {
			of[[2]int32{r.Rank, r.Replica}]++
			if homes[r.Conversation] == nil {
				homes[r.Conversation] = map[int32]bool{}
			}
			homes[r.Conversation][r.Replica] = true
			if want := strconv.Itoa(int(r.Replica)-1) + " to "; !strings.HasPrefix(r.Answer.Content, want) {
				t.Errorf("%s: replica %d, from 1, and the answer is %q", balance, r.Replica, r.Answer.Content)
			}
		}
		moved := 0
		for _, on := range homes {
			if len(on) > 1 {
				moved++
			}
		}
		if sticky := balance != load.RoundRobin; sticky != (moved == 0) {
			t.Errorf("%s: %d of %d conversations moved", balance, moved, len(homes))
		}
		if len(of) != 4 {
			t.Errorf("%s: requests by rank and replica %v", balance, of)
		}
		for who, n := range of { // of 60 a rank has
			if n < 20 {
				t.Errorf("%s: rank %d sent %d requests to replica %d", balance, who[0], n, who[1])
			}
		}
	}
}

type broken struct{ cards }

func (broken) Deal(i int64) ([]byte, error) {
	if i == 40 {
		return nil, errors.New("line 40 is torn")
	}
	return cards{}.Deal(i)
}

func TestDatasetFails(t *testing.T) {
	f := newFake(t, 2, time.Millisecond)
	if _, _, err := f.play(t, load.Config{Source: broken{}, Phases: []plan.Phase{{Requests: 100, Concurrency: level(4)}}}); err == nil || err.Error() != "line 40 is torn" {
		t.Errorf("the dataset's error came as %v", err)
	}
	if err := f.Whole(); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestAbort(t *testing.T) {
	f := newFake(t, 2, time.Hour)
	_, out, err := f.play(t, load.Config{
		Abort: &plan.Abort{ErrorRate: 0.5, OfLast: 10}, Request: plan.Request{},
		Phases: []plan.Phase{{Duration: time.Second, Rate: level(50), Arrival: "constant", RateOf: "requests", MaxInFlight: 4}},
	})
	if err != nil || !strings.Contains(out.Aborted, "of the last 10 requests failed, the last with unsent") || out.Interrupted {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestStop: softly, what is under way ends; by the context, it is cut.
func TestStop(t *testing.T) {
	for _, hard := range []bool{false, true} {
		f := newFake(t, 2, 2*time.Second) // by then the workers know that they are to stop
		ctx, cancel := context.WithCancel(t.Context())
		stop := make(chan struct{})
		kept := &records{}
		end := func() { close(stop) }
		if hard {
			end = cancel
		}
		go func() {
			for f.sent.Load() < 4 {
				time.Sleep(time.Millisecond)
			}
			end()
		}()
		out, err := f.Run(ctx, load.Config{Source: cards{}, Recorder: kept, Clock: f.clock, Stop: stop, Phases: []plan.Phase{{Duration: time.Hour, Concurrency: level(4)}}}, f.target())
		cancel()
		want := record.OK
		if hard {
			want = record.Cancelled
		}
		if err != nil || !out.Interrupted || len(kept.all) != 4 || kept.all[0].Status != want {
			t.Errorf("hard %v: %d records %+v, %+v, %v", hard, len(kept.all), kept.all, out, err)
		}
	}
}

// TestWorkerLost: its arrivals are rows that say so, the others go on; the fleet knows.
func TestWorkerLost(t *testing.T) {
	f := newFake(t, 3, 20*time.Millisecond)
	p := plan.Phase{Name: "steady", Measure: true, Duration: 3 * time.Second, Rate: level(200), Arrival: "poisson", RateOf: "requests"}
	cut := false
	kept := &records{on: func(rec *record.Record) {
		if rec.Rank == 1 && rec.Conversation > 60 && !cut {
			cut = true
			f.cut[1]()
		}
	}}
	_, out, err := f.play(t, load.Config{Seed: 5, Recorder: kept, Phases: []plan.Phase{p, {Name: "more", Requests: 30, Rate: level(300), Arrival: "constant", RateOf: "requests"}}})
	if err != nil {
		t.Fatal(err)
	}
	by := map[[2]int]map[string]int{}
	for _, r := range kept.all {
		key := [2]int{r.Phase, int(r.Rank)}
		if by[key] == nil {
			by[key] = map[string]int{}
		}
		by[key][r.Status.String()]++
	}
	all := load.Arrivals(&p, 0, 5, load.Share{})
	n := int64(0)
	for at, ok := all.Next(0, n); ok && at < p.Duration; at, ok = all.Next(0, n) {
		n++
	}
	if got := out.Phases[0].Scheduled; got != int64(len(kept.all))-30 || got != n {
		t.Errorf("%d scheduled, %d records, %d arrivals", got, len(kept.all)-30, n)
	}
	lost := by[[2]int{0, 1}]
	if lost["ok"] < 15 || lost["unsent"] == 0 || by[[2]int{1, 1}]["unsent"] != 10 || by[[2]int{0, 0}]["ok"] < 50 || len(by[[2]int{0, 0}]) != 1 || by[[2]int{1, 2}]["ok"] != 10 {
		t.Errorf("%v", by)
	}
	if w := out.Workers[1]; w.Lost != "its connection ended" || w.LostAt < out.Phases[0].Start || w.LostAt > out.Phases[0].End || out.Workers[0].Lost != "" {
		t.Errorf("%+v", out.Workers)
	}
	if err := f.Whole(); err == nil || !strings.Contains(err.Error(), "worker 1 of 3") {
		t.Errorf("the fleet says %v", err)
	}
	if _, _, err := f.play(t, load.Config{Phases: []plan.Phase{p}}); err == nil {
		t.Error("a fleet with a lost worker takes another load")
	}
}

func TestAllWorkersLost(t *testing.T) {
	f := newFake(t, 2, 20*time.Millisecond)
	time.AfterFunc(200*time.Millisecond, func() { f.cut[0](); f.cut[1]() })
	if _, out, err := f.play(t, load.Config{Phases: []plan.Phase{{Duration: time.Hour, Concurrency: level(4)}}}); err == nil || !strings.Contains(err.Error(), "no worker is left: worker lost: worker 0 of 2") || len(out.Workers) != 2 {
		t.Errorf("%v, %+v", err, out)
	}
}
