package result

import (
	"math"
	"slices"

	"github.com/montanaflynn/stats"
)

// How many values a percentile needs before it says anything.
const (
	needP99   = 100
	needP999  = 1_000
	needP9999 = 10_000
)

// NewStats summarises values; NaN ones count as undefined. It sorts values.
func NewStats(values []float64) *Stats { return (&sorter{}).stats(values) }

// stats is NewStats with this sorter's memory.
func (o *sorter) stats(values []float64) *Stats {
	all := len(values)
	values = slices.DeleteFunc(values, math.IsNaN)
	s := &Stats{Count: int64(len(values)), Undefined: int64(all - len(values))}
	if len(values) == 0 {
		return s
	}
	o.sort(values)
	mean, _ := stats.Mean(values) // errors are for empty input only
	s.Mean = &mean
	if len(values) > 1 {
		std, _ := stats.StandardDeviationSample(values)
		s.Std = &std
	}
	s.percentiles(len(values), func(q float64) float64 { return Percentile(values, q) })
	return s
}

// percentiles fills in what the count supports.
func (s *Stats) percentiles(n int, at func(q float64) float64) {
	for _, p := range []struct {
		into **float64
		q    float64
		need int
	}{
		{&s.Min, 0, 1},
		{&s.P25, 0.25, 1},
		{&s.P50, 0.5, 1},
		{&s.P75, 0.75, 1},
		{&s.P90, 0.9, 1},
		{&s.P95, 0.95, 1},
		{&s.P99, 0.99, needP99},
		{&s.P999, 0.999, needP999},
		{&s.P9999, 0.9999, needP9999},
		{&s.Max, 1, 1},
	} {
		if n >= p.need {
			v := at(p.q)
			*p.into = &v
		}
	}
}

// Percentile is the q-quantile (0 to 1) of sorted values by linear interpolation between
// closest ranks: numpy's default, Excel's PERCENTILE.INC. stats.Percentile is the same
// but sorts a copy at every call.
func Percentile(sorted []float64, q float64) float64 {
	return interpolate(len(sorted), q, func(i int) float64 { return sorted[i] })
}

func interpolate(n int, q float64, at func(i int) float64) float64 {
	rank := q * float64(n-1)
	low := int(rank)
	if low+1 >= n {
		return at(n - 1)
	}
	return at(low) + (rank-float64(low))*(at(low+1)-at(low))
}

// gapLimit is how many gaps are kept one by one; more go into bins of 1 µs.
const gapLimit = 1 << 24

// gaps summarises gaps in ns, given in pieces, as ms.
func (o *sorter) gaps(total int, pieces func(yield func(ns int64))) *Stats {
	if total <= gapLimit {
		values := make([]float64, 0, total)
		pieces(func(ns int64) { values = append(values, float64(ns)/1e6) })
		return o.stats(values)
	}
	bins := map[int64]int64{} // µs → gaps
	var n, mean, m2 float64   // Welford's running mean and variance
	low, high := int64(math.MaxInt64), int64(0)
	pieces(func(ns int64) {
		bins[(ns+500)/1000]++
		low, high = min(low, ns), max(high, ns)
		n++
		d := float64(ns)/1e6 - mean
		mean += d / n
		m2 += d * (float64(ns)/1e6 - mean)
	})
	micros := make([]int64, 0, len(bins))
	for us := range bins {
		micros = append(micros, us)
	}
	slices.Sort(micros)
	upTo := make([]int64, len(micros)) // gaps up to and with this bin
	var sum int64
	for i, us := range micros {
		sum += bins[us]
		upTo[i] = sum
	}
	std := math.Sqrt(m2 / (n - 1))
	s := &Stats{Count: sum, Mean: &mean, Std: &std, Binned: true}
	s.percentiles(int(sum), func(q float64) float64 {
		return interpolate(int(sum), q, func(i int) float64 {
			at, _ := slices.BinarySearch(upTo, int64(i)+1)
			return float64(micros[at]) / 1e3
		})
	})
	*s.Min, *s.Max = float64(low)/1e6, float64(high)/1e6
	return s
}

// median is the middle of values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return Percentile(values, 0.5)
}
