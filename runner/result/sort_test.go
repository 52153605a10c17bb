package result

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSort: the radix sort gives what the library's does, for signs, zeros, infinities and
// columns that are all one number.
func TestSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	o := &sorter{}
	for name, value := range map[string]func(i int) float64{
		"uniform":       func(int) float64 { return rng.Float64() },
		"both signs":    func(int) float64 { return rng.NormFloat64() * 1e9 },
		"whole":         func(int) float64 { return float64(rng.IntN(50) - 25) },
		"one number":    func(int) float64 { return 42 },
		"extremes":      func(i int) float64 { return []float64{0, math.Inf(1), math.Inf(-1), math.MaxFloat64, -5e-324}[i%5] },
		"sorted":        func(i int) float64 { return float64(i) },
		"the other way": func(i int) float64 { return float64(-i) },
	} {
		for _, n := range []int{0, 1, radixLeast - 1, radixLeast, 5000} {
			got := make([]float64, n)
			for i := range got {
				got[i] = value(i)
			}
			want := slices.Clone(got)
			slices.Sort(want)
			if o.sort(got); !slices.Equal(got, want) {
				t.Errorf("%s, %d values: not sorted", name, n)
			}
		}
	}
}
