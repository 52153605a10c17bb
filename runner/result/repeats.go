package result

import (
	"maps"
	"math"
	"slices"
	"strings"

	"sparkrun/scenario/metric"
)

// Repeats is what the repeats of a cell say together, for one measured phase.
type Repeats struct {
	Address   string            `json:"address"` // without the repeat
	Benchmark string            `json:"benchmark"`
	Server    string            `json:"server"`
	Matrix    map[string]string `json:"matrix"`
	Phase     string            `json:"phase"`
	Verdict   Verdict           `json:"verdict"` // the worst of them
	Repeats   int               `json:"repeats"` // that were planned and tried
	Starts    int               `json:"starts"`  // of the server, that they are spread over
	// Note is SameStart where all repeats ran in one start of the server: what differs
	// from start to start is not in their spread then.
	Note    string            `json:"note,omitempty"`
	Numbers map[string]Spread `json:"numbers"` // by path, as ttft_ms.p50
}

// SameStart is the note of repeats inside one server start.
const SameStart = "same start"

// Spread is one number over the repeats that have it.
type Spread struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// Low and High are the 95 % bootstrap interval of the median, null below 6 repeats.
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
}

// needInterval is how many repeats an interval of the median needs: of fewer, no interval
// of order statistics covers the median with 95 %.
const needInterval = 6

// spreadStatistics are the statistics whose spread over repeats is kept.
var spreadStatistics = []string{"mean", "p50", "p90", "p95", "p99"}

// RepeatsOf puts the entries of cells that were measured more than once together, in the
// order of the entries.
func RepeatsOf(entries []Entry) []Repeats {
	all := []Repeats{}
	for _, group := range groups(entries) {
		if len(group) > 1 {
			all = append(all, newRepeats(group))
		}
	}
	return all
}

// groups are the entries of each cell and phase over its repeats.
func groups(entries []Entry) [][]*Entry {
	var out [][]*Entry
	at := map[string]int{}
	for i := range entries {
		e := &entries[i]
		key := WithoutRepeat(e.Address) + " " + e.Phase
		n, ok := at[key]
		if !ok {
			n = len(out)
			at[key] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], e)
	}
	return out
}

// WithoutRepeat is a cell's address without #n.
func WithoutRepeat(address string) string {
	if i := strings.LastIndexByte(address, '#'); i >= 0 {
		return address[:i]
	}
	return address
}

func newRepeats(group []*Entry) Repeats {
	first := group[0]
	r := Repeats{
		Address: WithoutRepeat(first.Address), Benchmark: first.Benchmark, Server: first.Server, Matrix: first.Matrix,
		Phase: first.Phase, Verdict: Worst(group), Repeats: len(group), Numbers: map[string]Spread{},
	}
	starts, paths := map[string]bool{}, map[string]bool{}
	for _, e := range group {
		if e.Session != "" {
			starts[e.Session] = true
		}
		for _, p := range e.spreadPaths() {
			paths[p] = true
		}
	}
	if r.Starts = len(starts); r.Starts == 1 {
		r.Note = SameStart
	}
	for p := range paths {
		if s, ok := SpreadOf(group, p); ok {
			r.Numbers[p] = s
		}
	}
	return r
}

// spreadPaths are the numbers of an entry that repeats are compared by.
func (e *Entry) spreadPaths() []string {
	paths := []string{"requests.success_rate"}
	for name := range e.Metrics {
		for _, s := range spreadStatistics {
			paths = append(paths, name+"."+s)
		}
	}
	for name := range e.Throughput {
		paths = append(paths, name)
	}
	for name := range e.Telemetry {
		paths = append(paths, "telemetry."+name)
	}
	for slo := range e.Goodput {
		for _, s := range metric.Goodput {
			paths = append(paths, "goodput."+slo+"."+s)
		}
	}
	return paths
}

// SpreadOf is a number over entries, false where none has it.
func SpreadOf(entries []*Entry, path string) (Spread, bool) {
	values := valuesOf(entries, path)
	if len(values) == 0 {
		return Spread{}, false
	}
	s := Spread{N: len(values), Median: median(values), Min: values[0], Max: values[len(values)-1]}
	if len(values) >= needInterval {
		low, high := medianInterval(values, 0.95)
		s.Low, s.High = &low, &high
	}
	return s, true
}

func valuesOf(entries []*Entry, path string) []float64 {
	var values []float64
	for _, e := range entries {
		if v := e.Value(path); v != nil {
			values = append(values, *v)
		}
	}
	return values
}

// Worst is the worst verdict of entries.
func Worst(entries []*Entry) Verdict {
	order := []Verdict{Failed, Invalid, Skipped, Suspect, OK}
	worst := len(order) - 1
	for _, e := range entries {
		if i := slices.Index(order, e.Verdict); i >= 0 {
			worst = min(worst, i)
		}
	}
	return order[worst]
}

// medianInterval is the bootstrap percentile interval of the median of sorted values. It is
// that of infinitely many resamples: for a median their distribution is known exactly
// (Efron 1979, "Bootstrap methods: another look at the jackknife", section 3), so that
// nothing has to be drawn and the interval is the same each time.
//
// A resample draws n values with replacement. At most i of the n values are at or below
// the i-th with probability binomial(n, i/n); an even number of values has a median
// between its middle two.
func medianInterval(sorted []float64, level float64) (low, high float64) {
	mass := map[float64]float64{} // median of a resample → its probability
	n := len(sorted)
	if n%2 == 1 {
		for i := 1; i <= n; i++ {
			mass[sorted[i-1]] += atMost(n, n/2, i-1) - atMost(n, n/2, i)
		}
	} else {
		half := n / 2
		for i := 1; i <= n; i++ {
			same := atMost(n, half-1, i-1) - atMost(n, half-1, i) // the lower middle is value i
			for j := i + 1; j <= n; j++ {
				// half of the draws at or below i with one at i, half at or above j with one at j
				p := choose(n, half) * (share(i, n, half) - share(i-1, n, half)) * (share(n-j+1, n, half) - share(n-j, n, half))
				mass[(sorted[i-1]+sorted[j-1])/2] += p
				same -= p
			}
			mass[sorted[i-1]] += same
		}
	}
	medians := slices.Sorted(maps.Keys(mass))
	tail := (1 - level) / 2
	low, high = math.NaN(), medians[len(medians)-1]
	sum := 0.0
	for _, m := range medians {
		sum += mass[m]
		if math.IsNaN(low) && sum > tail {
			low = m
		}
		if sum >= 1-tail {
			return low, m
		}
	}
	return low, high
}

// atMost is the probability that at most k of n draws are among the lowest i of n values.
func atMost(n, k, i int) float64 {
	p := float64(i) / float64(n)
	sum := 0.0
	for x := 0; x <= k; x++ {
		sum += choose(n, x) * math.Pow(p, float64(x)) * math.Pow(1-p, float64(n-x))
	}
	return sum
}

// share is (i/n)^k.
func share(i, n, k int) float64 { return math.Pow(float64(i)/float64(n), float64(k)) }

// choose is the binomial coefficient.
func choose(n, k int) float64 {
	c := 1.0
	for i := 1; i <= k; i++ {
		c = c * float64(n-k+i) / float64(i)
	}
	return c
}
