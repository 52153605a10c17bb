package load

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// lengths are conversations of these many turns.
type lengths []int

func (l lengths) Open(i int64) (Conversation, error) {
	if i >= int64(len(l)) {
		return nil, ErrExhausted
	}
	return &lines{left: l[i], all: l[i]}, nil
}

// erratic answers after a random time and fails with a given probability. It keeps the
// most requests it has had at a time.
type erratic struct {
	clock    record.Clock
	rand     chan *rand.Rand // one token: the generator
	fail     float64
	inFlight chan int // one token: now
	most     *int
}

func newErratic(clock record.Clock, seed uint64, fail float64) erratic {
	e := erratic{clock, make(chan *rand.Rand, 1), fail, make(chan int, 1), new(int)}
	e.rand <- rand.New(rand.NewPCG(seed, 1))
	e.inFlight <- 0
	return e
}

func (e erratic) Do(ctx context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	rec.Sent = e.clock.Now()
	n := <-e.inFlight + 1
	*e.most = max(*e.most, n)
	e.inFlight <- n
	g := <-e.rand
	takes, fails := time.Duration(1+g.IntN(1000))*time.Millisecond, g.Float64() < e.fail
	e.rand <- g
	time.Sleep(takes)
	rec.LastToken, rec.StreamEnd = e.clock.Now(), e.clock.Now()
	if fails {
		rec.Status = 500
	}
	e.inFlight <- <-e.inFlight - 1
}

// TestEveryTurnOnceInOrder: for any clients ≤ active ≤ conversations every turn of every
// conversation is sent once and in order, and no more than clients requests are in flight;
// where turns fail, exactly the later ones of their conversations are skipped.
func TestEveryTurnOnceInOrder(t *testing.T) {
	for seed := range uint64(200) {
		g := rand.New(rand.NewPCG(seed, 2))
		conversations := 1 + g.IntN(20)
		active := 1 + g.IntN(conversations)
		clients := 1 + g.IntN(active)
		fail := []float64{0, 0.2}[seed%2]
		turns := make(lengths, conversations)
		for i := range turns {
			turns[i] = 1 + g.IntN(5)
		}
		name := fmt.Sprintf("seed %d: %d clients, %d active, turns %v, failing %v", seed, clients, active, turns, fail)
		var kept records
		var most int
		synctest.Test(t, func(t *testing.T) {
			clock := record.NewClock()
			server := newErratic(clock, seed, fail)
			out, err := Run(t.Context(), Config{
				Phases: []plan.Phase{{Conversations: int64(conversations), Concurrency: closed(float64(clients)), Drain: time.Hour}},
				Conversations: plan.Conversations{
					Active: int64(active), Sampling: []string{"round_robin", "random"}[seed/2%2], Start: "first_turn",
				},
				Source: turns, Doer: server, Recorder: &kept, Clock: clock, Seed: seed,
			})
			if err != nil || out.Exhausted {
				t.Errorf("%s: error %v, exhausted %v", name, err, out.Exhausted)
			}
			most = *server.most
		})
		if most > clients {
			t.Errorf("%s: %d requests in flight", name, most)
		}
		checkTurns(t, name, turns, kept)
	}
}

func checkTurns(t *testing.T, name string, turns lengths, kept records) {
	t.Helper()
	sent := make([][]record.Record, len(turns))
	for _, r := range kept {
		sent[r.Conversation] = append(sent[r.Conversation], r)
	}
	for c, list := range sent {
		if len(list) != turns[c] {
			t.Errorf("%s: conversation %d has %d rows, want %d", name, c, len(list), turns[c])
			continue
		}
		failed := false
		for i, r := range list {
			want := record.Skipped
			if !failed {
				want = r.Status // ok, or the one that fails
				failed = r.Status != record.OK
			}
			if r.Turn != int32(i) || r.Status != want || (r.Status == record.Skipped) != (r.Sent == 0) {
				t.Errorf("%s: conversation %d, row %d is turn %d, %s", name, c, i, r.Turn, r.Status)
			}
			if i > 0 && r.Status != record.Skipped && r.Sent < list[i-1].StreamEnd {
				t.Errorf("%s: conversation %d, turn %d was sent before the one before it had ended", name, c, i)
			}
		}
	}
}

func TestFirstTurnOnly(t *testing.T) {
	got, out := play(t, Config{
		Phases: []plan.Phase{
			{Name: "warmup", Conversations: 5, Concurrency: closed(2), FirstTurnOnly: true, Drain: time.Minute, DrainHere: true},
			{Name: "steady", Conversations: 5, Concurrency: closed(2)},
		},
		Source: script{turns: 3, limit: 5},
	}, time.Second, "2") // conversation 1
	var warm, main []string
	for _, r := range got {
		s := fmt.Sprintf("%d.%d %s", r.Conversation, r.Turn, r.Status)
		if r.Phase == 0 {
			warm = append(warm, s)
		} else {
			main = append(main, s)
		}
	}
	slices.Sort(warm)
	if want := []string{"0.0 ok", "1.0 http_500", "1.1 skipped", "1.2 skipped", "2.0 ok", "3.0 ok", "4.0 ok"}; !slices.Equal(warm, want) {
		t.Errorf("warmup sent %v, want %v", warm, want)
	}
	slices.Sort(main)
	if want := []string{"0.1 ok", "0.2 ok", "2.1 ok", "2.2 ok", "3.1 ok", "3.2 ok", "4.1 ok", "4.2 ok"}; !slices.Equal(main, want) {
		t.Errorf("steady sent %v, want %v", main, want)
	}
	if out.Exhausted != true { // steady may begin five and finds four
		t.Errorf("exhausted %v", out.Exhausted)
	}
}

func TestEarlyStop(t *testing.T) {
	for _, c := range []struct {
		turns lengths
		early bool
		want  int
	}{
		// Requests take 1 s, those of conversation 1 take 1.1 s. Conversation 0 ends at 2 s and
		// nothing takes its place: the second request of conversation 1 finishes.
		{lengths{2, 6}, true, 2 + 2},
		{lengths{2, 6}, false, 2 + 6},
		// Conversation 2 takes its place and ends at 5 s: the fifth of conversation 1 finishes.
		{lengths{2, 6, 3}, true, 2 + 3 + 5},
	} {
		var kept records
		synctest.Test(t, func(t *testing.T) {
			clock := record.NewClock()
			_, err := Run(t.Context(), Config{
				Phases: []plan.Phase{{Conversations: int64(len(c.turns)), Concurrency: closed(2), EarlyStop: c.early}}, Source: c.turns, Recorder: &kept, Clock: clock,
				Doer: doer(func(r *record.Request, rec *record.Record) {
					rec.Start(r)
					rec.Sent = clock.Now()
					time.Sleep(time.Second)
					if r.Conversation == 1 {
						time.Sleep(100 * time.Millisecond)
					}
					rec.StreamEnd = clock.Now()
				}),
			})
			if err != nil {
				t.Error(err)
			}
		})
		if len(kept) != c.want {
			t.Errorf("turns %v, early_stop %v: %d requests, want %d", c.turns, c.early, len(kept), c.want)
		}
	}
}

func TestStaggered(t *testing.T) {
	got, _ := play(t, Config{
		Phases:        []plan.Phase{{Conversations: 60, Concurrency: closed(20)}},
		Conversations: plan.Conversations{Active: 30, Start: "staggered"}, Source: script{turns: 5}, Seed: 7,
	}, time.Second)
	first := map[int64]int32{}
	for _, r := range got {
		if at, seen := first[r.Conversation]; !seen || r.Turn < at {
			first[r.Conversation] = r.Turn
		}
	}
	depths := map[int32]int{}
	for c, turn := range first {
		if c < 30 {
			depths[turn]++
		} else if turn != 0 {
			t.Errorf("conversation %d, which replaces another one, begins at turn %d", c, turn)
		}
	}
	if len(first) != 60 || len(depths) != 5 {
		t.Errorf("%d conversations; the first 30 begin at turns %v, want all of 0 to 4", len(first), depths)
	}
}

func TestRetries(t *testing.T) {
	cfg := Config{Phases: []plan.Phase{{Requests: 1, Concurrency: closed(1)}}, Request: plan.Request{Retries: 2}}
	var sends []time.Duration
	fails := 2
	run := func() (records, Outcome) {
		var kept records
		var out Outcome
		sends = nil
		synctest.Test(t, func(t *testing.T) {
			cfg.Clock, cfg.Source, cfg.Recorder = record.NewClock(), script{turns: 1}, &kept
			cfg.Doer = doer(func(r *record.Request, rec *record.Record) {
				rec.Start(r)
				rec.Sent = cfg.Clock.Now()
				sends = append(sends, time.Duration(rec.Sent-r.Scheduled))
				if len(sends) <= fails {
					rec.Status = 503
				}
				rec.StreamEnd = cfg.Clock.Now()
			})
			var err error
			if out, err = Run(t.Context(), cfg); err != nil {
				t.Error(err)
			}
		})
		return kept, out
	}
	got, _ := run()
	if len(got) != 1 || got[0].Status != record.OK || got[0].Retries != 2 {
		t.Errorf("%+v", got)
	}
	// 1 s and 2 s, a tenth more or less.
	for i, want := range []float64{0, 1, 3} {
		if math.Abs(sends[i].Seconds()-want) > 0.1*want {
			t.Errorf("send %d after %v, want about %v s", i, sends[i], want)
		}
	}
	fails = 3
	if got, _ = run(); got[0].Status != 503 || got[0].Retries != 2 || len(sends) != 3 {
		t.Errorf("after %d sends %+v", len(sends), got)
	}
}

type doer func(r *record.Request, rec *record.Record)

func (d doer) Do(_ context.Context, r *record.Request, rec *record.Record) { d(r, rec) }

func TestVerify(t *testing.T) {
	answers := []string{"yes", "no"}
	var kept records
	synctest.Test(t, func(t *testing.T) {
		clock := record.NewClock()
		_, err := Run(t.Context(), Config{
			Phases: []plan.Phase{{Requests: 3, Concurrency: closed(1)}}, Conversations: plan.Conversations{Verify: true},
			Source: expecting{}, Recorder: &kept, Clock: clock,
			Doer: doer(func(r *record.Request, rec *record.Record) {
				rec.Start(r)
				if !r.KeepAnswer {
					t.Error("the answer that is to be compared is not kept")
				}
				rec.Answer.Content = answers[r.Conversation%2]
				rec.StreamEnd = clock.Now()
			}),
		})
		if err != nil {
			t.Error(err)
		}
	})
	for i, want := range []record.Match{record.Same, record.Differs, record.Same} {
		if kept[i].Matches != want || kept[i].Answer.Content != "" {
			t.Errorf("request %d: %v, answer %q kept", i, kept[i].Matches, kept[i].Answer.Content)
		}
	}
}

// expecting are conversations of one turn that want "yes".
type expecting struct{}

func (expecting) Open(int64) (Conversation, error) { return &yes{}, nil }

type yes struct{ lines }

func (*yes) Turns() int { return 1 }
func (*yes) Next(_ *record.Record, r *record.Request) (bool, error) {
	r.Expected = "yes"
	return true, nil
}

// trace is a source with times: conversation i comes after i² seconds.
type trace struct{ script }

func (t trace) Arrival(i int64) (time.Duration, bool) {
	return time.Duration(i*i) * time.Second, i < t.limit
}

func TestReplay(t *testing.T) {
	got, out := play(t, Config{
		Phases: []plan.Phase{
			{Name: "warmup", Requests: 1, Concurrency: closed(1), DrainHere: true, Drain: time.Minute},
			{Name: "steady", Replay: true, Speed: 2, RateOf: "conversations", MaxInFlight: 2},
		},
		Source: trace{script{turns: 1, limit: 6}},
	}, 4*time.Second)
	// Conversations 1 to 5 come 0, 3, 8, 15, 24 s after the first of them, in half that time:
	// 0, 1.5, 4, 7.5, 12. Of 4 s each with room for two, the third (at 4) finds one just ended.
	start := out.Phases[1].Start
	for i, want := range []float64{0, 1.5, 4, 7.5, 12} {
		r := got[slices.IndexFunc(got, func(r record.Record) bool { return r.Conversation == int64(i+1) })]
		if at := seconds(r.Scheduled - start); at != want || r.Phase != 1 {
			t.Errorf("conversation %d was scheduled at %v s, want %v", i+1, at, want)
		}
	}
	if len(got) != 6 || seconds(out.Phases[1].End-start) != 16 {
		t.Errorf("%d requests, phase of %v s, want 6 and 16", len(got), seconds(out.Phases[1].End-start))
	}
}

func TestReplayKeepsItsPlaceWhenUnsent(t *testing.T) {
	got, _ := play(t, Config{
		Phases: []plan.Phase{{Replay: true, Speed: 1, RateOf: "conversations", MaxInFlight: 1}},
		Source: trace{script{turns: 1, limit: 4}},
	}, 2*time.Second)
	// At 0, 1, 4, 9 s; the one at 1 finds the first in flight.
	want := map[int64]record.Status{0: record.OK, 1: record.Unsent, 2: record.OK, 3: record.OK}
	if len(got) != len(want) {
		t.Fatalf("%d rows", len(got))
	}
	for _, r := range got {
		if r.Status != want[r.Conversation] {
			t.Errorf("conversation %d: %s, want %s", r.Conversation, r.Status, want[r.Conversation])
		}
	}
}

func TestReplayOfWhatHasNoTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept records
		clock := record.NewClock()
		_, err := Run(t.Context(), Config{Phases: []plan.Phase{{Name: "steady", Replay: true, Speed: 1}}, Source: script{turns: 1}, Doer: server{clock: clock}, Recorder: &kept, Clock: clock})
		if err == nil || len(kept) != 0 {
			t.Errorf("%d requests, error %v", len(kept), err)
		}
	})
}

// TestArrivalWithoutAConversation: an arrival that all active conversations are too busy
// for is a row, not lost.
func TestArrivalWithoutAConversation(t *testing.T) {
	got, _ := play(t, Config{
		Phases:        []plan.Phase{{Duration: 4 * time.Second, Rate: closed(1), Arrival: "constant", RateOf: "requests"}},
		Conversations: plan.Conversations{Active: 1}, Source: script{turns: 10},
	}, 1500*time.Millisecond)
	by := map[record.Status]int{}
	for _, r := range got {
		by[r.Status]++
	}
	if by[record.OK] != 2 || by[record.Unsent] != 2 {
		t.Errorf("statuses %v: at 0 and 2 s the conversation is free, at 1 and 3 s it is not", by)
	}
}

// ks is the Kolmogorov-Smirnov statistic of sorted samples against a distribution.
func ks(samples []float64, cdf func(float64) float64) float64 {
	slices.Sort(samples)
	n, worst := float64(len(samples)), 0.0
	for i, x := range samples {
		f := cdf(x)
		worst = max(worst, math.Abs(f-float64(i)/n), math.Abs(float64(i+1)/n-f))
	}
	return worst
}

// TestArrivalsHaveTheirDistribution: 10 000 gaps against the distribution's own function,
// at the 1 % level of the Kolmogorov-Smirnov test (1.628/√n).
func TestArrivalsHaveTheirDistribution(t *testing.T) {
	const n, rate = 10_000, 2000.0
	for name, p := range map[string]struct {
		phase plan.Phase
		cdf   func(x float64) float64 // of a gap times the rate
	}{
		"poisson": {plan.Phase{Rate: closed(rate), Arrival: "poisson"}, func(x float64) float64 { return 1 - math.Exp(-x) }},
		// Shape 2, mean 1: 1 − e^(−2x)(1 + 2x). Shape 1/2, mean 1: erf(√(x/2)).
		"even":   {plan.Phase{Rate: closed(rate), Arrival: "gamma", Burstiness: 2}, func(x float64) float64 { return 1 - math.Exp(-2*x)*(1+2*x) }},
		"bursts": {plan.Phase{Rate: closed(rate), Arrival: "gamma", Burstiness: 0.5}, func(x float64) float64 { return math.Erf(math.Sqrt(x / 2)) }},
	} {
		pacer := newPacer(&p.phase, 5)
		var gaps []float64
		var last time.Duration
		for i := range int64(n) {
			at, ok := pacer.Next(0, i)
			if !ok {
				t.Fatalf("%s: arrival %d is not there", name, i)
			}
			gaps = append(gaps, (at-last).Seconds()*rate)
			last = at
		}
		if d, limit := ks(gaps, p.cdf), 1.628/math.Sqrt(n); d > limit {
			t.Errorf("%s: Kolmogorov-Smirnov %.4f, over %.4f", name, d, limit)
		}
	}
}
