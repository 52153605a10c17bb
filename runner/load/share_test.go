package load

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

func TestShares(t *testing.T) {
	for _, c := range []struct {
		n    int64
		size int
		want []int64
	}{
		{0, 3, []int64{0, 0, 0}}, {1, 3, []int64{1, 0, 0}}, {7, 3, []int64{3, 2, 2}}, {9, 3, []int64{3, 3, 3}}, {5, 1, []int64{5}},
	} {
		for rank, want := range c.want {
			if got := (Share{rank, c.size}).of(c.n); got != want {
				t.Errorf("rank %d of %d has %d of %d, want %d", rank, c.size, got, c.n, want)
			}
		}
	}
	// Two slots among four: the 101 requests are those of the two that have one.
	p := &plan.Phase{Concurrency: closed(2)}
	for rank, want := range []int64{51, 50, 0, 0} {
		if got := (Share{rank, 4}).Quota(p, 101); got != want {
			t.Errorf("rank %d may send %d of 101, want %d", rank, got, want)
		}
	}
	if n := Engines([]plan.Phase{*p}, 4); n != 2 {
		t.Errorf("%d engines have something to do with 2 slots", n)
	}
	if n := Engines([]plan.Phase{*p, {Rate: closed(1)}}, 4); n != 4 {
		t.Errorf("%d engines have something to do in an open loop, want all 4", n)
	}
}

// together runs several engines with one gate for all: a phase begins a second after all
// have ended the one before.
func together(t *testing.T, cfg Config, size int, takes time.Duration) (all records, outs []Outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Clock = record.NewClock()
		if cfg.Source == nil {
			cfg.Source = script{turns: 1}
		}
		size = Engines(cfg.Phases, size)
		over := make(chan int, size)
		starts, ends := make([]chan int64, size), make([]chan int, size)
		kept := make([]records, size)
		outs = make([]Outcome, size)
		var engines sync.WaitGroup
		rules := NewRules(cfg.Abort)
		var mu sync.Mutex
		for rank := range size {
			starts[rank], ends[rank] = make(chan int64, 1), make(chan int, 1)
			mine := cfg
			mine.Share = Share{rank, size}
			mine.Gate = &Gate{Over: func(PhaseOutcome) { over <- rank }, Starts: starts[rank], Ends: ends[rank]}
			mine.Doer = server{cfg.Clock, takes, nil}
			mine.Recorder = recorderFunc(func(rec *record.Record) {
				mu.Lock()
				defer mu.Unlock()
				rules.Add(rec)
				kept[rank] = append(kept[rank], *rec)
			})
			engines.Go(func() {
				var err error
				if outs[rank], err = Run(t.Context(), mine); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range cfg.Phases {
			mu.Lock()
			rules.Begin(&cfg.Phases[i], i)
			mu.Unlock()
			begin := cfg.Clock.Now() + int64(time.Second)
			for rank := range size {
				starts[rank] <- begin
			}
			tick := time.NewTicker(10 * time.Millisecond)
			for left, told := size, false; left > 0; {
				select {
				case <-over:
					left--
				case <-tick.C:
					mu.Lock()
					if !told && rules.Ends(time.Duration(cfg.Clock.Now()-begin)) {
						told = true
						for rank := range size {
							ends[rank] <- i
						}
					}
					mu.Unlock()
				}
			}
			tick.Stop()
		}
		engines.Wait()
		for _, k := range kept {
			all = append(all, k...)
		}
	})
	return all, outs
}

type recorderFunc func(*record.Record)

func (f recorderFunc) Record(rec *record.Record) { f(rec) }

// dues are when requests were to leave, after the start of their phase, in order.
func dues(all records, phases []PhaseOutcome) (at []time.Duration) {
	for _, r := range all {
		at = append(at, time.Duration(r.Scheduled-phases[r.Phase].Start))
	}
	slices.Sort(at)
	return at
}

// TestSharedOpenLoop: three engines together send each arrival of the schedule once, with
// the conversation that a single one would send with it.
func TestSharedOpenLoop(t *testing.T) {
	cfg := Config{Seed: 7, Phases: []plan.Phase{{Duration: 20 * time.Second, Rate: &plan.Curve{From: 5, To: 15}, Arrival: "poisson", RateOf: "requests"}}}
	one, out := play(t, cfg, time.Second)
	three, outs := together(t, cfg, 3, time.Second)
	if want, got := dues(one, out.Phases), dues(three, outs[0].Phases); len(want) < 150 || !slices.Equal(want, got) {
		t.Fatalf("one engine sends %d, three %d: %v… and %v…", len(want), len(got), want[:5], got[:5])
	}
	with := map[int64]int64{}
	for _, r := range one {
		with[r.Scheduled-out.Phases[0].Start] = r.Conversation
	}
	for _, r := range three {
		if at := r.Scheduled - outs[0].Phases[0].Start; with[at] != r.Conversation {
			t.Errorf("the arrival at %s has conversation %d, by itself %d", time.Duration(at), r.Conversation, with[at])
		}
	}
}

// TestSharedClosedLoop: slots, requests and conversations are split, none is lost and none
// is done twice.
func TestSharedClosedLoop(t *testing.T) {
	got, outs := together(t, Config{Source: script{turns: 3, limit: 100}, Phases: []plan.Phase{
		{Name: "ramp", Duration: 10 * time.Second, Concurrency: &plan.Curve{From: 1, To: 7}},
		{Name: "count", Requests: 50, Concurrency: closed(7)},
		{Name: "begin", Conversations: 10, Concurrency: closed(7)},
	}}, 3, time.Second)
	slots, turns, sent := map[int]int{}, map[[2]int64]int{}, map[int]int{}
	for _, r := range got {
		sent[r.Phase]++
		turns[[2]int64{r.Conversation, int64(r.Turn)}]++
	}
	for _, o := range outs {
		for i, p := range o.Phases {
			slots[i] += int(p.Scheduled)
		}
	}
	if sent[1] != 50 || slots[1] != 50 {
		t.Errorf("%d requests of a phase of 50, %d scheduled", sent[1], slots[1])
	}
	for turn, n := range turns {
		if n != 1 {
			t.Errorf("turn %v was sent %d times", turn, n)
		}
	}
	// 1 → 7 in 10 s by halves: levels 1 to 7 for 0.83, 6 × 1.67 … s, a request a second each.
	if sent[0] < 38 || sent[0] > 44 {
		t.Errorf("%d requests in a ramp from 1 to 7 over 10 s", sent[0])
	}
}

func TestSharedMinRequestsAndStable(t *testing.T) {
	got, outs := together(t, Config{Phases: []plan.Phase{
		{Name: "warmup", Requests: 1000, UntilStable: true, Concurrency: closed(6)},
		{Name: "steady", Duration: time.Second, MinRequests: 31, Concurrency: closed(6)},
	}}, 3, 500*time.Millisecond)
	in := map[int]int{}
	for _, r := range got {
		in[r.Phase]++
	}
	// Two stretches of 10 alike, at 6 a half second: ended at 24. Of the 31 the last ends at
	// 3 s, when the others' next are under way.
	if in[0] < 20 || in[0] > 36 {
		t.Errorf("%d requests of a warm-up that is stable from the first on", in[0])
	}
	if in[1] < 31 || in[1] > 48 {
		t.Errorf("%d requests in a phase that ends with 31", in[1])
	}
	for _, o := range outs {
		if len(o.Phases) != 2 {
			t.Errorf("an engine ran %d phases", len(o.Phases))
		}
	}
}
