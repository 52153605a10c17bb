package load

import (
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// warmingUp is a server whose first 15 requests take 200, 190 … 60 ms, all others 50.
func warmingUp(t *testing.T, p plan.Phase) (requests int, out Outcome) {
	t.Helper()
	var kept records
	synctest.Test(t, func(t *testing.T) {
		clock := record.NewClock()
		n := 0
		var err error
		out, err = Run(t.Context(), Config{
			Phases: []plan.Phase{p}, Source: script{turns: 1}, Recorder: &kept, Clock: clock,
			Doer: doer(func(r *record.Request, rec *record.Record) {
				rec.Start(r)
				rec.Sent = clock.Now()
				time.Sleep(time.Duration(max(50, 200-10*n)) * time.Millisecond)
				n++
				rec.FirstToken, rec.LastToken, rec.StreamEnd = clock.Now(), clock.Now(), clock.Now()
			}),
		})
		if err != nil {
			t.Error(err)
		}
	})
	return len(kept), out
}

// TestUntilStable: the last ten requests are like the ten before them, within 10 %, once
// six of those took 50 to 55 ms: from request 15+6 on, with ten more after them.
func TestUntilStable(t *testing.T) {
	n, out := warmingUp(t, plan.Phase{Name: "warmup", Requests: 1000, Concurrency: closed(1), UntilStable: true})
	if n < 25 || n > 32 || out.Phases[0].Unstable {
		t.Errorf("it ended after %d requests, unstable %v", n, out.Phases[0].Unstable)
	}
	if n, out = warmingUp(t, plan.Phase{Name: "warmup", Requests: 20, Concurrency: closed(1), UntilStable: true}); n != 20 || !out.Phases[0].Unstable {
		t.Errorf("the limit: %d requests, unstable %v", n, out.Phases[0].Unstable)
	}
	if n, _ = warmingUp(t, plan.Phase{Name: "warmup", Requests: 40, Concurrency: closed(1)}); n != 40 {
		t.Errorf("without until_stable: %d requests", n)
	}
}

// TestStableOnce: of several engines, requests end after the last two stretches were alike and
// before all engines have been told. A slow one among them makes no warm-up of a limit of it.
func TestStableOnce(t *testing.T) {
	rules := NewRules(nil)
	rules.Begin(&plan.Phase{Name: "warmup", Requests: 1000, Concurrency: closed(1), UntilStable: true}, 0)
	for i := range 2 * stableLeast {
		if rules.Stable() {
			t.Fatalf("stable after %d requests", i)
		}
		rules.Add(&record.Record{Sent: 1, FirstToken: 1e6})
	}
	for range stableLeast {
		rules.Add(&record.Record{Sent: 1, FirstToken: 9e6})
	}
	if !rules.Ends(0) || !rules.Stable() {
		t.Error("it was stable, and is said to have met its limit before")
	}
}
