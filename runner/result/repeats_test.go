package result

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// measured are the entries of one cell on a server, a repeat for each throughput.
func measured(server, session string, rates ...float64) []Entry {
	var out []Entry
	for i, v := range rates {
		out = append(out, Entry{
			Address: fmt.Sprintf("benchmark.b[server=%s,users=4]#%d", server, i+1), Benchmark: "b", Server: "server." + server, Phase: "steady", Repeat: i + 1, Verdict: OK,
			Matrix: map[string]string{"server": server, "users": "4"}, Session: session, Throughput: map[string]*float64{"output_tokens_per_s": &v},
			Metrics: map[string]*Stats{"tpot_ms": {P50: ptr(1000 / v)}},
		})
	}
	return out
}

func TestRepeats(t *testing.T) {
	entries := measured("a", "server.a", 104, 101, 100, 103, 102)
	entries[3].Verdict = Suspect
	entries = append(entries, measured("once", "server.once", 50)...)
	got := RepeatsOf(entries)
	if len(got) != 1 {
		t.Fatalf("%d groups, want that of a alone: %+v", len(got), got)
	}
	r := got[0]
	if r.Address != "benchmark.b[server=a,users=4]" || r.Repeats != 5 || r.Starts != 1 || r.Note != "same start" || r.Verdict != Suspect {
		t.Errorf("%+v", r)
	}
	if s := r.Numbers["output_tokens_per_s"]; s.N != 5 || s.Median != 102 || s.Min != 100 || s.Max != 104 || s.Low != nil {
		t.Errorf("spread of five: %+v, want median 102 of 100 to 104, no interval", s)
	}
	for i := range entries {
		entries[i].Session = fmt.Sprintf("server.a~%d", i+1)
	}
	if r := RepeatsOf(entries)[0]; r.Note != "" || r.Starts != 5 {
		t.Errorf("five starts: %+v", r)
	}
}

// TestMedianInterval: by hand for three values, and against 200 000 drawn resamples.
func TestMedianInterval(t *testing.T) {
	// The median of a resample of {1, 2, 3} is 1 with 7/27, 2 with 13/27, 3 with 7/27.
	if low, high := medianInterval([]float64{1, 2, 3}, 0.95); low != 1 || high != 3 {
		t.Errorf("of three values: %v to %v, want 1 to 3", low, high)
	}
	if low, high := medianInterval([]float64{1, 2, 3}, 0.4); low != 2 || high != 2 {
		t.Errorf("the middle 40 %% of three values: %v to %v, want 2 to 2", low, high)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{6, 7, 10, 15} {
		values := make([]float64, n)
		for i := range values {
			values[i] = rng.NormFloat64()
		}
		slices.Sort(values)
		low, high := medianInterval(values, 0.95)
		medians, draw := make([]float64, 200_000), make([]float64, n)
		for i := range medians {
			for j := range draw {
				draw[j] = values[rng.IntN(n)]
			}
			medians[i] = median(draw)
		}
		slices.Sort(medians)
		// The share of resamples below and up to each end must have the 2.5 % between them.
		for name, end := range map[string]struct{ value, tail float64 }{"low": {low, 0.025}, "high": {high, 0.975}} {
			from, _ := slices.BinarySearch(medians, end.value)
			to, _ := slices.BinarySearchFunc(medians, end.value, func(m, v float64) int {
				if m <= v {
					return -1
				}
				return 1
			})
			below, upTo := float64(from)/float64(len(medians)), float64(to)/float64(len(medians))
			if below > end.tail+0.002 || upTo < end.tail-0.002 {
				t.Errorf("n = %d: the %s end %v has %.4f below and %.4f up to it, want %v between", n, name, end.value, below, upTo, end.tail)
			}
		}
	}
}

// TestMannWhitney: exact p-values from the tables. Sides that do not overlap are the
// rarest of the C(n+m, n) orders, on either end.
func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{1, 2, 3, 4, 6}, []float64{5, 7, 8, 9, 10}, 4.0 / 252}, // U = 1: two orders at or below
		{[]float64{1, 4, 5, 8}, []float64{2, 3, 6, 7}, 1},                // U = 8, the middle
		{[]float64{5, 5, 5, 5}, []float64{5, 5, 5, 5}, 1},                // all equal
		{[]float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2}, 2.0 / 252},  // ties within the sides
	} {
		if got := mannWhitney(c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v against %v: p = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestHolm(t *testing.T) {
	// Holm's own steps: 4 × 0.01, 3 × 0.015 = 0.045, 2 × 0.02 = 0.04 raised to 0.045, 0.5.
	want := map[string]float64{"a": 0.04, "b": 0.045, "c": 0.045, "d": 0.5}
	for name, got := range holm(map[string]float64{"d": 0.5, "a": 0.01, "c": 0.02, "b": 0.015}) {
		if math.Abs(got-want[name]) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got, want[name])
		}
	}
}

func TestCompareServers(t *testing.T) {
	entries := slices.Concat(measured("a", "server.a", 100, 101, 102, 103, 104), measured("b", "server.b", 110, 111, 112, 113, 114))
	got := CompareServers(entries)
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	c := got[0]
	d := c.Numbers["output_tokens_per_s"]
	if c.Base != "server.a" || c.Other != "server.b" || c.Note != SameStart || *d.Base != 102 || *d.Other != 112 || !*d.Different || math.Abs(*d.P-2.0/252) > 1e-12 || math.Abs(*d.Change-10.0/102) > 1e-12 {
		t.Errorf("%+v, %+v", c, d)
	}
	if _, ok := c.Numbers["ttft_ms.p50"]; ok {
		t.Error("a number that neither side has is compared")
	}
	// Three repeats: the medians, and that nothing was tested.
	c = CompareServers(slices.Concat(entries[:3], entries[5:]))[0]
	if d := c.Numbers["output_tokens_per_s"]; c.Note != "not tested for run-to-run noise" || d.P != nil || d.Different != nil || *d.Base != 101 {
		t.Errorf("three repeats: %+v, %+v", c, d)
	}
	// An invalid repeat is no evidence.
	entries[0].Verdict, entries[1].Verdict = Invalid, Failed
	if c := CompareServers(entries)[0]; c.Note != NotTested || c.Repeats != [2]int{3, 5} {
		t.Errorf("two bad repeats of five: %+v", c)
	}
	// Other users are another cell.
	entries = slices.Concat(measured("a", "", 100), measured("b", "", 110))
	entries[1].Matrix["users"] = "16"
	if got := CompareServers(entries); len(got) != 0 {
		t.Errorf("4 and 16 users are compared: %+v", got)
	}
}

// TestFalseAndTrueDifferences: of 2 000 pairs of servers that differ
// by 1 % noise alone at most 5 % are called different; of those with a 5 % shift and five
// repeats at least 90 % are found.
func TestFalseAndTrueDifferences(t *testing.T) {
	for _, c := range []struct {
		draws       int
		repeats     int
		shift       float64
		least, most float64
	}{
		{2000, 5, 1, 0, 0.05}, {2000, 5, 1.05, 0.9, 1}, {200, 5, 0.95, 0.9, 1},
		{500, 4, 1, 0, 0.05}, {500, 10, 1, 0, 0.05}, {200, 4, 1.05, 0.9, 1},
	} {
		rng := rand.New(rand.NewPCG(uint64(c.repeats), 7))
		side := func(server string, level float64) []Entry {
			rates := make([]float64, c.repeats)
			for i := range rates {
				rates[i] = level * (1 + 0.01*rng.NormFloat64())
			}
			return measured(server, "", rates...)
		}
		found := 0
		for range c.draws {
			d := CompareServers(append(side("a", 1000), side("b", 1000*c.shift)...))[0].Numbers[Deciding]
			if *d.Different {
				found++
			}
		}
		if share := float64(found) / float64(c.draws); share < c.least || share > c.most {
			t.Errorf("%d repeats, shift %v: %.4f called different, want %v to %v", c.repeats, c.shift, share, c.least, c.most)
		} else {
			t.Logf("%d repeats, shift %v: %.4f called different", c.repeats, c.shift, share)
		}
	}
}
