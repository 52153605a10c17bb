package load

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
)

// script is a source of conversations of so many turns, limit of them (0: endless).
type script struct{ turns, limit int64 }

func (s script) Open(i int64) (Conversation, error) {
	if s.limit > 0 && i >= s.limit {
		return nil, ErrExhausted
	}
	return &lines{left: int(s.turns), all: int(s.turns)}, nil
}

type lines struct{ left, all int }

func (l *lines) Turns() int { return l.all }
func (l *lines) Next(_ *record.Record, r *record.Request) (bool, error) {
	if l.left == 0 {
		return false, nil
	}
	r.Turn = int32(l.all - l.left)
	l.left--
	return true, nil
}

// server answers a request that leaves at its time, after a fixed time; every fail-th fails.
type server struct {
	clock record.Clock
	takes time.Duration
	fail  map[string]bool
}

func (s server) Do(ctx context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	time.Sleep(time.Duration(r.Scheduled - s.clock.Now()))
	rec.Sent = s.clock.Now()
	select {
	case <-time.After(s.takes):
		if s.fail[r.ID] {
			rec.Status = 500
		} else {
			rec.FirstToken = s.clock.Now()
			rec.LastToken = rec.FirstToken
		}
	case <-ctx.Done():
		rec.Status = record.Cancelled
	}
	rec.StreamEnd = s.clock.Now()
}

type records []record.Record

func (k *records) Record(r *record.Record) { *k = append(*k, *r) }

func play(t *testing.T, cfg Config, takes time.Duration, fail ...string) (records, Outcome) {
	t.Helper()
	var kept records
	var out Outcome
	synctest.Test(t, func(t *testing.T) {
		cfg.Clock = record.NewClock()
		bad := map[string]bool{}
		for _, f := range fail {
			bad[f] = true
		}
		cfg.Doer, cfg.Recorder = server{cfg.Clock, takes, bad}, &kept
		if cfg.Source == nil {
			cfg.Source = script{turns: 1}
		}
		var err error
		if out, err = Run(t.Context(), cfg); err != nil {
			t.Error(err)
		}
	})
	return kept, out
}

func closed(level float64) *plan.Curve { return &plan.Curve{From: level, To: level} }

func seconds(ns int64) float64 { return math.Round(float64(ns)/1e7) / 100 }

func TestClosedLoop(t *testing.T) {
	got, out := play(t, Config{Phases: []plan.Phase{{Name: "steady", Duration: 10 * time.Second, Concurrency: closed(4)}}}, time.Second)
	if len(got) != 40 || out.Phases[0].Scheduled != 40 {
		t.Errorf("%d requests, %d scheduled; 4 at a time, 1 s each, 10 s: 40", len(got), out.Phases[0].Scheduled)
	}
	if w := seconds(out.Phases[0].End - out.Phases[0].Start); w != 10 {
		t.Errorf("the window is %v s", w)
	}
	for _, r := range got {
		if r.Sent-r.Scheduled != 0 && r.Sent-r.Scheduled > int64(time.Millisecond) {
			t.Errorf("%s was sent %v after its slot was free", r.ID, time.Duration(r.Sent-r.Scheduled))
		}
	}
}

// away is a source during whose n-th conversation the machine is away for a while.
type away struct {
	script
	n    int64
	long time.Duration
}

func (a away) Open(i int64) (Conversation, error) {
	if i == a.n {
		time.Sleep(a.long)
	}
	return a.script.Open(i)
}

// TestLateAtTheEnd: what was due before the end of a phase is sent, or unsent, also when the
// machine comes back only after the end; nothing that would have been due later.
func TestLateAtTheEnd(t *testing.T) {
	tenth := 100 * time.Millisecond
	for name, want := range map[string]struct {
		phase    plan.Phase
		source   away
		all, bad int
	}{
		"requests":        {plan.Phase{Duration: time.Second, RateOf: "requests"}, away{script{turns: 1}, 6, time.Second}, 10, 0},
		"max_duration":    {plan.Phase{Duration: 2 * time.Second, MaxDuration: time.Second, RateOf: "requests"}, away{script{turns: 1}, 6, 1500 * time.Millisecond}, 10, 0},
		"far behind":      {plan.Phase{Duration: time.Second, RateOf: "requests"}, away{script{turns: 1}, 6, 5 * time.Second}, 10, 3},
		"conversations":   {plan.Phase{Duration: time.Second, RateOf: "conversations"}, away{script{turns: 1}, 6, time.Second}, 10, 0},
		"max_concurrency": {plan.Phase{Duration: time.Second, RateOf: "requests", MaxInFlight: 2}, away{script{turns: 1}, 6, time.Second}, 10, 2},
		"as many":         {plan.Phase{Duration: time.Second, Requests: 8, RateOf: "requests"}, away{script{turns: 1}, 6, time.Second}, 8, 0},
		"no more data":    {plan.Phase{Duration: time.Second, RateOf: "requests"}, away{script{turns: 1, limit: 8}, 6, time.Second}, 8, 0},
	} {
		want.phase.Name, want.phase.Rate, want.phase.Arrival = "steady", closed(10), "constant"
		for _, lead := range []time.Duration{0, Lead} {
			got, out := play(t, Config{Phases: []plan.Phase{want.phase}, Source: want.source, Lead: lead}, tenth+tenth/2)
			bad := 0
			for i, r := range got {
				if r.Status == record.Unsent {
					bad++
				}
				if due := r.Scheduled - out.Phases[0].Start; due >= int64(time.Second) || due%int64(tenth) != 0 {
					t.Errorf("%s: request %d of the phase was due at %v", name, i, time.Duration(due))
				}
			}
			if len(got) != want.all || bad != want.bad {
				t.Errorf("%s, lead %v: %d requests, %d of them unsent; want %d and %d", name, lead, len(got), bad, want.all, want.bad)
			}
		}
	}
}

func TestRequestsAndCarryOver(t *testing.T) {
	got, out := play(t, Config{Phases: []plan.Phase{
		{Name: "warmup", Requests: 6, Concurrency: closed(4)},
		{Name: "steady", Requests: 8, Concurrency: closed(4)},
	}}, time.Second)
	in := map[int]int{}
	for _, r := range got {
		in[r.Phase]++
	}
	// 4 at 0 s and 2 at 1 s are warmup's; at 1 s two slots are left for steady.
	if in[0] != 6 || in[1] != 8 || seconds(out.Phases[1].Start-out.Phases[0].Start) != 1 || seconds(out.Phases[1].End-out.Phases[0].Start) != 3 {
		t.Errorf("requests by phase %v, phases %+v", in, out.Phases)
	}
}

func TestMinRequestsAndMaxDuration(t *testing.T) {
	got, out := play(t, Config{Phases: []plan.Phase{{Duration: time.Second, MinRequests: 10, Concurrency: closed(1)}}}, time.Second)
	if len(got) != 10 || seconds(out.Phases[0].End-out.Phases[0].Start) != 10 {
		t.Errorf("%d requests in %v s, want 10 in 10", len(got), seconds(out.Phases[0].End-out.Phases[0].Start))
	}
	got, _ = play(t, Config{Phases: []plan.Phase{{Duration: time.Second, MinRequests: 10, MaxDuration: 5 * time.Second, Concurrency: closed(1)}}}, time.Second)
	if len(got) > 6 {
		t.Errorf("%d requests, although max_duration is 5 s", len(got))
	}
}

func TestRamp(t *testing.T) {
	got, _ := play(t, Config{Phases: []plan.Phase{{Duration: 10 * time.Second, Concurrency: &plan.Curve{From: 1, To: 11}}}}, 100*time.Second)
	if len(got) != 11 {
		t.Fatalf("%d requests began in a ramp from 1 to 11 that none leaves", len(got))
	}
	for i, r := range got {
		if r.Status != record.Cancelled {
			t.Errorf("request %d ended %s, the drain is over before it", i, r.Status)
		}
	}
}

func TestOpenLoopConstant(t *testing.T) {
	got, _ := play(t, Config{Phases: []plan.Phase{{Duration: 10 * time.Second, Rate: closed(2), Arrival: "constant", MaxInFlight: 3}}}, 1900*time.Millisecond)
	by := map[record.Status]int{}
	for _, r := range got {
		by[r.Status]++
	}
	// Every 0.5 s one of 2 s: four would be in flight, every fourth finds no room.
	if by[record.OK] != 15 || by[record.Unsent] != 5 {
		t.Errorf("statuses %v, want 15 ok and 5 unsent", by)
	}
}

func TestPoisson(t *testing.T) {
	p := plan.Phase{Duration: 100 * time.Second, Rate: closed(50), Arrival: "poisson"}
	a, b := newPacer(&p, 1), newPacer(&p, 1)
	var n int64
	var last time.Duration
	for {
		at, _ := a.Next(0, n)
		if same, _ := b.Next(0, n); same != at {
			t.Fatal("the same seed gives other arrivals")
		}
		if at < last {
			t.Fatal("arrivals go back in time")
		}
		if last = at; at > p.Duration {
			break
		}
		n++
	}
	if n < 4700 || n > 5300 { // 5000 ± 4σ
		t.Errorf("%d arrivals in 100 s at 50/s", n)
	}
}

func TestConstantRampOfRate(t *testing.T) {
	p := newPacer(&plan.Phase{Duration: 10 * time.Second, Rate: &plan.Curve{From: 0, To: 10}, Arrival: "constant"}, 1)
	// The integral is t²/2: arrival n comes at √(2n).
	for n, want := range []float64{0, 1.414, 2, 2.449, 2.828} {
		if at, _ := p.Next(0, int64(n)); math.Abs(at.Seconds()-want) > 0.001 {
			t.Errorf("arrival %d at %v, want %v s", n, at, want)
		}
	}
}

func TestMultiTurn(t *testing.T) {
	got, out := play(t, Config{
		Phases: []plan.Phase{{Conversations: 3, Concurrency: closed(2)}}, Source: script{turns: 4},
		Conversations: plan.Conversations{MaxTurns: 3},
	}, time.Second)
	turns := map[int64][]int32{}
	for _, r := range got {
		turns[r.Conversation] = append(turns[r.Conversation], r.Turn)
	}
	for c, ts := range turns {
		if len(ts) != 3 || ts[0] != 0 || ts[1] != 1 || ts[2] != 2 {
			t.Errorf("conversation %d had turns %v, want 0 1 2", c, ts)
		}
	}
	if len(turns) != 3 || out.Interrupted {
		t.Errorf("%d conversations, want 3; %+v", len(turns), out)
	}
}

func TestActiveRoundRobin(t *testing.T) {
	got, _ := play(t, Config{
		Phases: []plan.Phase{{Conversations: 3, Concurrency: closed(1)}}, Source: script{turns: 2},
		Conversations: plan.Conversations{Active: 3, Sampling: "round_robin"},
	}, time.Second)
	var order []int64
	for _, r := range got {
		order = append(order, r.Conversation)
	}
	want := []int64{0, 1, 2, 0, 1, 2}
	for i := range want {
		if len(order) != 6 || order[i] != want[i] {
			t.Fatalf("conversations in order %v, want %v", order, want)
		}
	}
}

func TestFailedTurnSkipsTheRest(t *testing.T) {
	got, _ := play(t, Config{Phases: []plan.Phase{{Conversations: 1, Concurrency: closed(1)}}, Source: script{turns: 4}}, time.Second, "2")
	var statuses []string
	for _, r := range got {
		statuses = append(statuses, r.Status.String())
	}
	if len(got) != 4 {
		t.Fatalf("statuses %v", statuses)
	}
	by := map[string]int{}
	for _, s := range statuses {
		by[s]++
	}
	if by["ok"] != 1 || by["http_500"] != 1 || by["skipped"] != 2 {
		t.Errorf("statuses %v, want ok, http_500 and two skipped", statuses)
	}
}

func TestExhausted(t *testing.T) {
	got, out := play(t, Config{Phases: []plan.Phase{{Requests: 10, Concurrency: closed(2)}}, Source: script{1, 5}}, time.Second)
	if len(got) != 5 || !out.Exhausted {
		t.Errorf("%d requests of 5 rows, exhausted %v", len(got), out.Exhausted)
	}
}

func TestThinkTime(t *testing.T) {
	got, _ := play(t, Config{Phases: []plan.Phase{{Duration: 9500 * time.Millisecond, Concurrency: closed(1), ThinkTime: dist.Const(1e9)}}}, time.Second)
	if len(got) != 5 {
		t.Errorf("%d requests: 1 s each with a second of thinking after it in 9.5 s are 5", len(got))
	}
}

func TestAbort(t *testing.T) {
	got, out := play(t, Config{Phases: []plan.Phase{{Requests: 100, Concurrency: closed(1)}}, Abort: &plan.Abort{ErrorRate: 0.5, OfLast: 4}}, time.Second, "3", "4", "5")
	if out.Aborted == "" || len(got) != 5 {
		t.Errorf("%d requests, aborted %q; three of the last four failed at the fifth", len(got), out.Aborted)
	}
}

func TestStop(t *testing.T) {
	var kept records
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{}) // one from outside the bubble would stop its time
		clock := record.NewClock()
		time.AfterFunc(2500*time.Millisecond, func() { close(stop) })
		out, err := Run(t.Context(), Config{
			Phases: []plan.Phase{{Duration: time.Hour, Concurrency: closed(2)}}, Source: script{turns: 1},
			Doer: server{clock: clock, takes: time.Second}, Recorder: &kept, Clock: clock, Stop: stop,
		})
		if err != nil || !out.Interrupted {
			t.Errorf("interrupted %v, error %v", out.Interrupted, err)
		}
	})
	if len(kept) != 6 {
		t.Errorf("%d requests: 2 at a time until 2.5 s, those in flight finish: 6", len(kept))
	}
}
