package result

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// Deciding is the number that decides whether two sides are different. Compared are the
// further ones, whose p-values are corrected for their number.
const Deciding = "output_tokens_per_s"

// Compared are the numbers that are compared beside the deciding one. They are few, as
// each makes the correction harder: with five repeats a side no more than six can be found
// different at all.
var Compared = []string{"ttft_ms.p50", "tpot_ms.p50", "itl_ms.p99", "latency_ms.p50"}

const (
	needTest = 4    // repeats a side
	alpha    = 0.05 // what is called different is so by chance in no more than this share
)

// NotTested is what is said of two sides with fewer than four repeats.
const NotTested = "not tested for run-to-run noise"

// Difference is one number of two sides, by the medians of their repeats.
type Difference struct {
	Base   *float64 `json:"base"`
	Other  *float64 `json:"other"`
	Change *float64 `json:"change"` // other / base − 1
	// P is the probability of sides as far apart as these where nothing but noise differs
	// (Mann-Whitney, two-sided), after Holm's correction but for the deciding number. It and
	// Different are null where it was not tested.
	P         *float64 `json:"p"`
	Different *bool    `json:"different"`
}

// Comparison is one cell without its server, on two servers of a benchmark.
type Comparison struct {
	Benchmark string                `json:"benchmark"`
	Matrix    map[string]string     `json:"matrix"` // the axes but for the server
	Axes      []string              `json:"axes"`   // names in file order
	Phase     string                `json:"phase"`
	Base      string                `json:"base"` // server
	Other     string                `json:"other"`
	Repeats   [2]int                `json:"repeats"` // usable ones: ok or suspect
	Note      string                `json:"note,omitempty"`
	Numbers   map[string]Difference `json:"numbers"`
}

// CompareServers compares the servers of each benchmark, pair by pair, where everything
// else of the cell is the same. Each pair is decided by itself.
func CompareServers(entries []Entry) []Comparison {
	out := []Comparison{}
	var order []string
	servers := map[string][][]*Entry{} // a cell without its server → its repeats on each
	for _, group := range groups(entries) {
		e := group[0]
		key := fmt.Sprint(e.Benchmark, " ", e.Phase, " ", withoutServer(e.Matrix)) // maps print sorted
		if servers[key] == nil {
			order = append(order, key)
		}
		servers[key] = append(servers[key], group)
	}
	for _, key := range order {
		for i, base := range servers[key] {
			for _, other := range servers[key][i+1:] {
				b, o := base[0], other[0]
				axes := slices.DeleteFunc(slices.Clone(b.Axes), func(name string) bool { return name == "server" })
				c := Comparison{Benchmark: b.Benchmark, Matrix: withoutServer(b.Matrix), Axes: axes, Phase: b.Phase, Base: b.Server, Other: o.Server}
				c.Numbers, c.Repeats, c.Note = Differences(base, other)
				out = append(out, c)
			}
		}
	}
	return out
}

func withoutServer(matrix map[string]string) map[string]string {
	out := maps.Clone(matrix)
	delete(out, "server")
	return out
}

// Differences compares two sides by their usable repeats. The note says what keeps the
// answer from being more than it is: NotTested, or SameStart where the repeats of a side
// ran in one start of its server.
func Differences(base, other []*Entry) (numbers map[string]Difference, repeats [2]int, note string) {
	base, other = usable(base), usable(other)
	repeats = [2]int{len(base), len(other)}
	numbers = map[string]Difference{}
	tests := map[string]float64{} // p-values of the further numbers
	for _, path := range append([]string{Deciding}, Compared...) {
		b, o := valuesOf(base, path), valuesOf(other, path)
		if len(b) == 0 || len(o) == 0 {
			continue
		}
		d := Difference{}
		if len(b) >= needTest && len(o) >= needTest {
			p := mannWhitney(b, o)
			if path == Deciding {
				d.settle(p)
			} else {
				tests[path] = p
			}
		}
		bm, om := median(b), median(o)
		d.Base, d.Other = &bm, &om
		if bm != 0 {
			d.Change = ptr(om/bm - 1)
		}
		numbers[path] = d
	}
	for path, p := range holm(tests) {
		d := numbers[path]
		d.settle(p)
		numbers[path] = d
	}
	switch {
	case min(len(base), len(other)) < needTest:
		note = NotTested
	case oneStart(base) || oneStart(other):
		note = SameStart
	}
	return numbers, repeats, note
}

func (d *Difference) settle(p float64) {
	different := p < alpha
	d.P, d.Different = &p, &different
}

// usable are the repeats that a comparison may rest on.
func usable(entries []*Entry) []*Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e *Entry) bool { return e.Verdict != OK && e.Verdict != Suspect })
}

func oneStart(entries []*Entry) bool {
	for _, e := range entries {
		if e.Session == "" || e.Session != entries[0].Session {
			return false
		}
	}
	return true
}

// mannWhitney is the two-sided p-value of the U test, exact up to 50 values a side (25
// where some are equal), by the normal approximation beyond.
func mannWhitney(a, b []float64) float64 {
	r, err := stats.MannWhitneyUTest(a, b, stats.LocationDiffers)
	if errors.Is(err, stats.ErrSamplesEqual) {
		return 1
	}
	if err != nil {
		panic(err) // an empty side: the caller has counted
	}
	return min(1, r.P)
}

// holm corrects p-values for their number (Holm 1979, "A simple sequentially rejective
// multiple test procedure").
func holm(p map[string]float64) map[string]float64 {
	names := slices.SortedFunc(maps.Keys(p), func(a, b string) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	out := make(map[string]float64, len(p))
	so := 0.0
	for i, name := range names {
		so = max(so, min(1, float64(len(names)-i)*p[name]))
		out[name] = so
	}
	return out
}
