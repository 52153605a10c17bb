package result

import (
	"math"
	"slices"
)

// The steady-state check works on the output tokens of one-second bins.
const (
	steadyBins  = 10   // fewer are not judged
	steadySlope = 0.05 // of the mean over the whole window
	steadyZ     = 2.5758293035489004
)

// steady reports whether a series of one-second rates has no trend: not when the
// Mann-Kendall test says so at p < 0.01 (two-sided) and Theil and Sen's slope comes to
// more than 5 % of the mean over the window. Rates of neighbouring seconds go together,
// which makes the plain test see trends that are none; its variance is corrected for
// the lag-one correlation of the detrended series (Yue and Wang 2004).
func steady(rates []float64) (is, judged bool) {
	n := len(rates)
	if n < steadyBins {
		return true, false
	}
	var (
		s      float64
		slopes []float64
		mean   float64
	)
	for i := range rates {
		mean += rates[i] / float64(n)
		for j := i + 1; j < n; j++ {
			d := rates[j] - rates[i]
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
	variance := float64(n*(n-1)*(2*n+5)) / 18 * correction(rates, slope)
	z := 0.0
	if s != 0 {
		z = (math.Abs(s) - 1) / math.Sqrt(variance)
	}
	trend := z > steadyZ
	return !(trend && math.Abs(slope)*float64(n) > steadySlope*mean), true
}

// correction is how many times fewer independent values a series has than values, by the
// autocorrelation at lag one of what is left without its slope, taken as AR(1).
func correction(series []float64, slope float64) float64 {
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
		return 1
	}
	// The estimate is low by about (1+4r)/n in short series (Kendall 1954).
	r := c1 / c0
	r = min(0.95, (n*r+1)/(n-4))
	if r <= 0 {
		return 1
	}
	sum := 0.0
	for k := 1.0; k < n; k++ {
		sum += (1 - k/n) * math.Pow(r, k)
	}
	return 1 + 2*sum
}
