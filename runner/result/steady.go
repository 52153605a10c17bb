package result

import (
	"math"
	"slices"
)

// The steady-state check works on the output tokens of one-second bins.
const (
	steadyBins  = 10   // fewer are not judged
	steadyMost  = 30   // more are put together into so many stretches of equal length
	steadySlope = 0.05 // of the mean over the whole window
	steadyP     = 0.01
)

// trend is how far a rate drifts over the window.
type trend struct {
	drift float64 // Theil and Sen's slope times the window's length, as a share of the mean
	p     float64 // of such a trend in a series that has none (Mann-Kendall, two-sided)
}

// steady is metrics.md's rule: not where the trend is there and is large.
func (t trend) steady() bool { return t.p >= steadyP || math.Abs(t.drift) <= steadySlope }

// trendOf tests a series of one-second rates for a trend; short ones are not judged.
//
// Rates of neighbouring seconds go together, which makes the plain Mann-Kendall test see
// trends that are none. Its variance here is that of a first-order autoregressive series
// (Hamed 2009, "Exact distribution of the Mann-Kendall trend test statistic for persistent
// data"), with the correlation estimated from what is left without the slope, at the upper
// end of its one-sided 95 % interval: an estimate that is too low would call a slow wander
// a trend. Long windows are put together into 30 stretches, which a trend survives and
// correlation does not.
func trendOf(rates []float64) (t trend, judged bool) {
	if len(rates) < steadyBins {
		return trend{}, false
	}
	series := stretches(rates, steadyMost)
	n := len(series)
	var (
		s      float64
		slopes []float64
		mean   float64
	)
	for i := range series {
		mean += series[i] / float64(n)
		for j := i + 1; j < n; j++ {
			d := series[j] - series[i]
			slopes = append(slopes, d/float64(j-i))
			switch {
			case d > 0:
				s++
			case d < 0:
				s--
			}
		}
	}
	slope := median(slopes)
	z := 0.0
	if s != 0 {
		z = (math.Abs(s) - 1) / math.Sqrt(kendallVariance(n, correlation(series, slope)))
	}
	t.p = math.Erfc(z / math.Sqrt2)
	if mean != 0 {
		t.drift = slope * float64(n) / mean
	}
	return t, true
}

// stretches is the mean of each of at most so many stretches of one length. What is left
// over is left out at the front, where a window is least settled.
func stretches(rates []float64, most int) []float64 {
	length := (len(rates) + most - 1) / most
	out := make([]float64, len(rates)/length)
	rates = rates[len(rates)-len(out)*length:]
	for i, v := range rates {
		out[i/length] += v / float64(length)
	}
	return out
}

// correlation is the upper end of the 95 % interval of a series' correlation at lag one,
// without its slope, from 0 to 0.95.
func correlation(series []float64, slope float64) float64 {
	n := float64(len(series))
	rest := slices.Clone(series)
	mean := 0.0
	for i := range rest {
		rest[i] -= slope * float64(i)
		mean += rest[i] / n
	}
	var c0, c1 float64
	for i := range rest {
		d := rest[i] - mean
		c0 += d * d
		if i > 0 {
			c1 += d * (rest[i-1] - mean)
		}
	}
	if c0 == 0 {
		return 0
	}
	// The estimate is low by about (1+4r)/n in short series (Kendall 1954); its standard
	// error is √((1−r²)/n) (Bartlett 1946).
	r := (n*c1/c0 + 1) / (n - 4)
	r += 1.645 * math.Sqrt(max(0, 1-r*r)/n)
	return max(0, min(0.95, r))
}

// kendallVariance is the variance of Mann and Kendall's S over n values of a Gaussian
// first-order autoregressive series with correlation r at lag one: the sum of the
// covariances of all pairs of signs, that of two signs being 2/π·asin of the correlation
// of the differences that they are of. With r = 0 it is n(n−1)(2n+5)/18.
func kendallVariance(n int, r float64) float64 {
	rho := make([]float64, n) // by lag
	rho[0] = 1
	for lag := 1; lag < n; lag++ {
		rho[lag] = rho[lag-1] * r
	}
	at := func(lag int) float64 { return rho[max(lag, -lag)] }
	sum := 0.0
	// The pairs (i, i+a) and (i+d, i+d+b) are alike for every i, and (a, b) is (b, a).
	for a := 1; a < n; a++ {
		for b := 1; b <= a; b++ {
			part := 0.0
			scale := 2 * math.Sqrt((1-at(a))*(1-at(b)))
			for d := a + 1 - n; d < n-b; d++ {
				places := min(n-a, n-b-d) - max(0, -d)
				c := (at(d+b-a) - at(d+b) - at(d-a) + at(d)) / scale
				part += float64(places) * math.Asin(max(-1, min(1, c)))
			}
			if b < a {
				part *= 2
			}
			sum += part
		}
	}
	return 2 / math.Pi * sum
}
