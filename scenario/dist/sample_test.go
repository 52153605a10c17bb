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
		"zipf tail":    {Dist{Kind: Zipf, Alpha: p(6)}, 1.019251, 0.158111},                                        // ζ(5)/ζ(6), √(ζ(4)/ζ(6)−mean²)
		"zipf cut":     {Dist{Kind: Zipf, Alpha: p(2), Max: p(3)}, 1.632169, 0.841203},                             // P: 1/ζ(2), 1/4ζ(2), the rest
		"poisson cut":  {Dist{Kind: Poisson, Mean: p(2), Max: p(2)}, 1.4586588, 0.7252456},                         // P: e⁻², 2e⁻², 1−3e⁻²
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

// The formulas of the field's multi-turn benchmark, by hand for three draws.
func TestLognormalIsScaledToItsMean(t *testing.T) {
	s, err := New(Dist{Kind: Lognormal, Mean: p(1000), MedianRatio: p(0.5), Max: p(1100)})
	if err != nil {
		t.Fatal(err)
	}
	normal := rand.New(rand.NewPCG(3, 4))
	sigma, mu := math.Sqrt(2*math.Log(2)), math.Log(500)
	var draws [3]float64
	sum := 0.0
	for i := range draws {
		draws[i] = math.Exp(mu + sigma*normal.NormFloat64())
		sum += draws[i]
	}
	got := s.Ints(rand.New(rand.NewPCG(3, 4)), 3)
	cut := false
	for i, v := range draws {
		want := min(1100, v*3000/sum)
		cut = cut || want == 1100
		if got[i] != int64(math.RoundToEven(want)) {
			t.Errorf("draw %d is %d, want %v", i, got[i], want)
		}
	}
	if !cut {
		t.Error("no draw was cut: the test shows less than it says")
	}
	one := s.Ints(rand.New(rand.NewPCG(1, 1)), 1)
	if one[0] != 1000 {
		t.Errorf("a single draw is %d, want the mean", one[0])
	}
	// The mean of many is the mean up to rounding, where nothing is cut.
	if s, err = New(Dist{Kind: Lognormal, Mean: p(1000)}); err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, v := range s.Ints(rand.New(rand.NewPCG(1, 2)), 24) {
		total += v
	}
	if total < 24*1000-12 || total > 24*1000+12 {
		t.Errorf("24 draws sum to %d, want 24000", total)
	}
	// In log space nothing is scaled.
	if s, err = New(Dist{Kind: Lognormal, Mu: p(5), Sigma: p(1)}); err != nil {
		t.Fatal(err)
	}
	if a, b := s.Ints(rand.New(rand.NewPCG(1, 2)), 2)[0], s.Int(rand.New(rand.NewPCG(1, 2))); a != b {
		t.Errorf("mu and sigma: %d drawn together, %d alone", a, b)
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
		{Kind: Exponential}, {Kind: Poisson, Mean: p(-1)}, {Kind: Zipf, Alpha: p(1)}, {Kind: Zipf, Alpha: p(1), Max: p(1e9)}, {Kind: Zipf, Alpha: p(2), Max: p(0)},
		{Kind: Choice}, {Kind: Choice, Values: []float64{1}, Weights: []float64{1, 2}}, {Kind: Choice, Values: []float64{1}, Weights: []float64{0}},
	} {
		if _, err := New(d); err == nil {
			t.Errorf("%+v is accepted", d)
		}
	}
}
