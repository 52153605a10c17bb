package dist

import (
	"math"
	"math/rand/v2"
	"testing"
)

func p(v float64) *float64 { return &v }

// The moments of 200 000 draws against the formulas of each distribution.
func TestMoments(t *testing.T) {
	for name, test := range map[string]struct {
		d         Dist
		mean, std float64
	}{
		"constant":     {Const(7), 7, 0},
		"uniform":      {Dist{Kind: Uniform, Min: p(2), Max: p(8)}, 5, 2},                                          // √((7²−1)/12) of 7 whole values
		"normal":       {Dist{Kind: Normal, Mean: p(100), Std: p(10)}, 100, 10},                                    //
		"lognormal":    {Dist{Kind: Lognormal, Mean: p(1000), MedianRatio: p(0.85)}, 1000, 619.8},                  // mean·√(1/ratio²−1)
		"lognormal mu": {Dist{Kind: Lognormal, Mu: p(5), Sigma: p(0.5)}, math.Exp(5.125), 89.67},                   // exp(mu+σ²/2)·√(exp(σ²)−1)
		"exponential":  {Dist{Kind: Exponential, Mean: p(500)}, 500, 500},                                          //
		"poisson":      {Dist{Kind: Poisson, Mean: p(100)}, 100, 10},                                               //
		"zipf":         {Dist{Kind: Zipf, Alpha: p(1), Max: p(3)}, 18.0 / 11, math.Sqrt(36.0/11 - 324.0/121)},      // weights 1 ½ ⅓
		"choice":       {Dist{Kind: Choice, Values: []float64{10, 20}, Weights: []float64{3, 1}}, 12.5, 4.3301270}, //
	} {
		s, err := New(test.d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		const n = 200_000
		var sum, sq float64
		for range n {
			v := float64(s.Int(r))
			sum += v
			sq += v * v
		}
		mean := sum / n
		std := math.Sqrt(math.Max(0, sq/n-mean*mean))
		if math.Abs(mean-test.mean) > 0.01*test.mean || math.Abs(std-test.std) > 0.015*test.mean {
			t.Errorf("%s: mean %.3f std %.3f, want %.3f and %.3f", name, mean, std, test.mean, test.std)
		}
	}
}

func TestUniformIncludesBothEnds(t *testing.T) {
	s, err := New(Dist{Kind: Uniform, Min: p(6), Max: p(9)})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		seen[s.Int(r)] = true
	}
	if len(seen) != 4 || !seen[6] || !seen[9] {
		t.Errorf("uniform(6, 9) gave %v", seen)
	}
}

func TestClipped(t *testing.T) {
	s, err := New(Dist{Kind: Lognormal, Mean: p(1000), Max: p(1200)})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		if v := s.Float(r); v > 1200 {
			t.Fatalf("%v is above max", v)
		}
	}
}

func TestWrongParameters(t *testing.T) {
	for _, d := range []Dist{
		{Kind: "cauchy"}, {Kind: Uniform}, {Kind: Uniform, Min: p(3), Max: p(2)}, {Kind: Normal, Mean: p(1)},
		{Kind: Lognormal}, {Kind: Lognormal, Mean: p(5), MedianRatio: p(1)}, {Kind: Lognormal, Mean: p(5), Mu: p(1), Sigma: p(1)},
		{Kind: Exponential}, {Kind: Poisson, Mean: p(-1)}, {Kind: Zipf, Alpha: p(1)}, {Kind: Zipf, Alpha: p(1), Max: p(1e9)},
		{Kind: Choice}, {Kind: Choice, Values: []float64{1}, Weights: []float64{1, 2}}, {Kind: Choice, Values: []float64{1}, Weights: []float64{0}},
	} {
		if _, err := New(d); err == nil {
			t.Errorf("%+v is accepted", d)
		}
	}
}
