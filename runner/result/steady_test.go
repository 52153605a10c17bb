package result

import (
	"math"
	"math/rand/v2"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// ar1 is n seconds of a rate around 1 000 tokens/s: a stationary first-order
// autoregressive series with a spread of cv, on a line that rises by trend from end to end.
func ar1(rng *rand.Rand, n int, r, cv, trend float64) []float64 {
	out := make([]float64, n)
	x := rng.NormFloat64()
	for i := range out {
		if i > 0 {
			x = r*x + math.Sqrt(1-r*r)*rng.NormFloat64()
		}
		out[i] = 1000 * (1 + cv*x + trend*(float64(i)/float64(n-1)-0.5))
	}
	return out
}

// TestSteady is what metrics.md asks: of 200 stationary series at most 2 are called
// unsteady, for one minute to five and correlations up to 0.8; a trend of 10 % is found.
func TestSteady(t *testing.T) {
	for _, c := range []struct {
		seconds     int
		r, cv       float64
		trend       float64
		least, most int // of 200 that are not steady
	}{
		{60, 0, 0.05, 0, 0, 2}, {60, 0.3, 0.05, 0, 0, 2}, {60, 0.6, 0.05, 0, 0, 2}, {60, 0.8, 0.05, 0, 0, 2},
		{120, 0.5, 0.1, 0, 0, 2}, {120, 0.8, 0.1, 0, 0, 2}, {300, 0.8, 0.1, 0, 0, 2},
		{20, 0.3, 0.02, 0, 0, 2}, {10, 0, 0.05, 0, 0, 2}, {10, 0.5, 0.01, 0, 0, 2},
		{60, 0, 0.02, 0.1, 190, 200}, {60, 0.3, 0.01, 0.1, 190, 200}, {120, 0.5, 0.02, -0.1, 180, 200}, {300, 0.7, 0.02, 0.1, 180, 200},
		{10, 0, 0.01, 0.1, 90, 200},
		{120, 0, 0.01, 0.03, 0, 2}, // there, but not large
	} {
		rng := rand.New(rand.NewPCG(4, uint64(c.seconds)))
		found := 0
		for range 200 {
			if trend, judged := trendOf(ar1(rng, c.seconds, c.r, c.cv, c.trend)); !judged {
				t.Fatal("not judged")
			} else if !trend.steady() {
				found++
			}
		}
		if found < c.least || found > c.most {
			t.Errorf("%d s, correlation %v, spread %v, trend %v: %d of 200 not steady, want %d to %d", c.seconds, c.r, c.cv, c.trend, found, c.least, c.most)
		}
	}
	if _, judged := trendOf(make([]float64, steadyBins-1)); judged {
		t.Error("nine seconds are judged")
	}
	if trend, judged := trendOf(make([]float64, 60)); !judged || !trend.steady() || trend.p != 1 {
		t.Errorf("a rate of 0 throughout: %+v", trend)
	}
}

// TestTrend by hand: 10, 20, … 100 rises by 10 a second; S is 45 of 45, its plain variance
// 10·9·25/18 = 125; over 10 s the slope comes to 100, of a mean of 55.
func TestTrend(t *testing.T) {
	if v := kendallVariance(10, 0); math.Abs(v-125) > 1e-9 {
		t.Errorf("variance of S of ten independent values: %v, want 125", v)
	}
	var rates []float64
	for i := range 10 {
		rates = append(rates, float64(10*(i+1)))
	}
	trend, _ := trendOf(rates)
	if want := 100.0 / 55; math.Abs(trend.drift-want) > 1e-12 {
		t.Errorf("drift %v, want %v", trend.drift, want)
	}
	// Nothing is left without the slope, so that no correlation can be seen: z = 44/√125.
	if want := math.Erfc(44 / math.Sqrt(125) / math.Sqrt2); math.Abs(trend.p-want) > 1e-12 {
		t.Errorf("p %v, want %v", trend.p, want)
	}
	// At most two stretches of five seconds: of three each, of which the last fits.
	if got := stretches([]float64{9, 1, 3, 5, 7}, 2); len(got) != 1 || got[0] != 5 {
		t.Errorf("stretches %v, want that of 3, 5 and 7", got)
	}
	// Correlated seconds say less: the variance of S grows with r.
	if v := kendallVariance(30, 0.5); v < 2*kendallVariance(30, 0) {
		t.Errorf("variance with r = 0.5: %v", v)
	}
}

// TestKendallVariance checks the formula against 20 000 drawn series.
func TestKendallVariance(t *testing.T) {
	const n, draws = 12, 20_000
	rng := rand.New(rand.NewPCG(1, 2))
	for _, r := range []float64{0, 0.4, 0.8} {
		var sum float64
		for range draws {
			series := ar1(rng, n, r, 0.1, 0)
			s := 0.0
			for i := range series {
				for j := i + 1; j < n; j++ {
					s += math.Copysign(1, series[j]-series[i])
				}
			}
			sum += s * s
		}
		got, want := sum/draws, kendallVariance(n, r)
		if math.Abs(got-want) > 0.05*want {
			t.Errorf("r = %v: S varies by %v, the formula says %v", r, got, want)
		}
	}
}

// steadily are four users for 20 s, each with a request after the other of 100 tokens, 10
// ms apart after 10 ms: a token of each user every 10 ms. change moves the arrivals.
func steadily(change func(user int64, at int64) int64) ([]record.Record, load.Outcome) {
	var records []record.Record
	for user := range int64(4) {
		for n := range int64(20) {
			sent := 1000 + n*1000 + user
			var events []int64
			for k := range int64(100) {
				events = append(events, change(user, sent+10*(k+1)-1))
			}
			r := stream(sent, 100, events...)
			r.Phase, r.StreamEnd = 1, r.LastToken
			if n > 0 { // sent when the one before has ended
				before := records[len(records)-1]
				r.Sent = max(r.Sent, before.LastToken)
			}
			r.Scheduled = r.Sent
			records = append(records, r)
		}
	}
	return records, load.Outcome{Phases: []load.PhaseOutcome{{}, {Start: 1000 * msec, End: 21000 * msec}}}
}

// TestStragglerStallPause: what goes wrong shows in stall_ms, itl_ms and the steady check,
// and where, by hand.
func TestStragglerStallPause(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(user, at int64) int64
		want   map[string]float64
	}{
		{"all well", func(_, at int64) int64 { return at }, map[string]float64{
			"stall_ms.max": 10, "itl_ms.max": 10, "window.quiet_ms": 9, "window.drift": 0, "latency_ms.max": 999,
		}},
		// From 10 s on user 3's stream stands still for 2 s; the others go on.
		{"a stalled stream", func(user, at int64) int64 {
			if user == 3 && at >= 10_000 {
				return at + 2000
			}
			return at
		}, map[string]float64{
			"stall_ms.max": 2010, "itl_ms.max": 2010, "stall_ms.p50": 10, "window.quiet_ms": 9,
		}},
		// User 3's request of 10 s has its tokens 50 ms apart; the next ones come as they do.
		{"a straggler", func(user, at int64) int64 {
			switch {
			case user == 3 && at >= 11_003:
				return at + 4000
			case user == 3 && at >= 10_003:
				return 10_003 + 5*(at-10_003)
			}
			return at
		}, map[string]float64{
			"stall_ms.max": 50, "itl_ms.max": 50, "itl_ms.p95": 10, "itl_ms.p99": 50, // 99 gaps of 7 920
			"tpot_ms.max": 50, "latency_ms.max": 4995, "window.quiet_ms": 9,
		}},
		// From 10 s on nothing comes from the server for 2 s.
		{"a server that pauses", func(_, at int64) int64 {
			if at >= 10_000 {
				return at + 2000
			}
			return at
		}, map[string]float64{
			"stall_ms.max": 2010, "itl_ms.max": 2010, "itl_ms.p99": 10, "window.quiet_ms": 2001, // user 0's token at 9999 to user 1's at 12000
		}},
	} {
		records, out := steadily(c.change)
		e := Summarise(cellOf(), &plan.Server{}, records, out)[0]
		for path, want := range c.want {
			if got := e.Value(path); got == nil || math.Abs(*got-want) > 1e-6 {
				t.Errorf("%s: %s is %v, want %v", c.name, path, show(got), want)
			}
		}
		if e.Window.Steady == nil || !*e.Window.Steady {
			t.Errorf("%s: not steady, p %v drift %v", c.name, *e.Window.TrendP, *e.Window.Drift)
		}
	}
}

func show(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}
