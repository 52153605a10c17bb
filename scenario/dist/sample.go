package dist

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
)

// zipfLimit bounds the table of a zipf distribution; zipfTail ends one without a table.
const (
	zipfLimit = 1 << 20
	zipfTail  = 1 << 31
)

// Sampler draws from a distribution. It is read-only once made.
type Sampler struct {
	dist  Dist
	mu    float64   // lognormal
	sigma float64   // lognormal
	cum   []float64 // zipf, choice: cumulative weights
}

// New prepares a distribution for drawing; the error says which parameter is wrong.
func New(d Dist) (*Sampler, error) {
	s := &Sampler{dist: d}
	if d.Min != nil && d.Max != nil && *d.Min > *d.Max {
		return nil, fmt.Errorf("min is %v, above max, which is %v", *d.Min, *d.Max)
	}
	switch d.Kind {
	case Constant, "":
	case Uniform:
		if d.Min == nil || d.Max == nil {
			return nil, errors.New("uniform needs min and max")
		}
	case Normal:
		if d.Mean == nil || d.Std == nil || *d.Std < 0 {
			return nil, errors.New("normal needs mean and a std that is not negative")
		}
	case Lognormal:
		if err := s.lognormal(); err != nil {
			return nil, err
		}
	case Exponential, Poisson:
		if d.Mean == nil || *d.Mean <= 0 {
			return nil, fmt.Errorf("%s needs a mean above 0", d.Kind)
		}
	case Zipf:
		if err := s.zipf(); err != nil {
			return nil, err
		}
	case Choice:
		if err := s.choice(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown distribution %q", d.Kind)
	}
	return s, nil
}

// lognormal finds mu and sigma: given, or from the mean and the ratio of median to mean,
// as the field's multi-turn benchmark has it: sigma = √(2·ln(1/ratio)), mu = ln(mean·ratio).
func (s *Sampler) lognormal() error {
	d := s.dist
	switch {
	case d.Mu != nil && d.Sigma != nil && d.Mean == nil:
		s.mu, s.sigma = *d.Mu, *d.Sigma
	case d.Mean != nil && *d.Mean > 0 && d.Mu == nil && d.Sigma == nil:
		ratio := 0.85
		if d.MedianRatio != nil {
			ratio = *d.MedianRatio
		}
		if ratio <= 0 || ratio >= 1 {
			return fmt.Errorf("median_ratio is %v, it must lie between 0 and 1", ratio)
		}
		s.mu, s.sigma = math.Log(*d.Mean*ratio), math.Sqrt(2*math.Log(1/ratio))
	default:
		return errors.New("lognormal needs a mean above 0 (and median_ratio), or mu and sigma")
	}
	if s.sigma < 0 {
		return errors.New("sigma must not be negative")
	}
	return nil
}

// zipf needs no table where alpha is above 1: the distribution is then one over all whole
// numbers, of which those above max count as max, as in the field's multi-turn benchmark.
// With a smaller alpha there is one over 1 to max only.
func (s *Sampler) zipf() error {
	d := s.dist
	switch {
	case d.Alpha == nil || *d.Alpha <= 0:
		return errors.New("zipf needs an alpha above 0")
	case d.Max != nil && *d.Max < 1:
		return fmt.Errorf("zipf has a max of %v, it must be 1 or more", *d.Max)
	case *d.Alpha > 1:
		return nil
	case d.Max == nil || *d.Max > zipfLimit:
		return fmt.Errorf("zipf needs a max from 1 to %d where alpha is not above 1", zipfLimit)
	}
	weights := make([]float64, int(*d.Max))
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -*d.Alpha)
	}
	s.cum = cumulate(weights)
	return nil
}

func (s *Sampler) choice() error {
	d := s.dist
	weights := d.Weights
	if weights == nil {
		weights = make([]float64, len(d.Values))
		for i := range weights {
			weights[i] = 1
		}
	}
	if len(d.Values) == 0 || len(weights) != len(d.Values) {
		return errors.New("choice needs values, and as many weights if any")
	}
	for _, w := range weights {
		if w < 0 || math.IsNaN(w) {
			return errors.New("choice needs weights that are not negative")
		}
	}
	s.cum = cumulate(weights)
	if s.cum[len(s.cum)-1] <= 0 {
		return errors.New("choice needs a weight above 0")
	}
	return nil
}

func cumulate(weights []float64) []float64 {
	sum := 0.0
	out := make([]float64, len(weights))
	for i, w := range weights {
		sum += w
		out[i] = sum
	}
	return out
}

// Int draws a count: whole, both ends of a uniform included.
func (s *Sampler) Int(r *rand.Rand) int64 {
	if s.dist.Kind == Uniform {
		lo, hi := math.Ceil(*s.dist.Min), math.Floor(*s.dist.Max)
		return int64(lo) + r.Int64N(max(1, int64(hi)-int64(lo)+1))
	}
	return int64(math.Round(s.Float(r)))
}

// Ints draws n counts that belong together. A lognormal distribution that is given by its
// mean is scaled so that the mean of these n is that mean, then cut at max and rounded: so
// the field's multi-turn benchmark draws its lengths. The others are drawn one by one.
func (s *Sampler) Ints(r *rand.Rand, n int) []int64 {
	out := make([]int64, n)
	if s.dist.Kind != Lognormal || s.dist.Mean == nil {
		for i := range out {
			out[i] = s.Int(r)
		}
		return out
	}
	draws, sum := make([]float64, n), 0.0
	for i := range draws {
		draws[i] = s.draw(r)
		sum += draws[i]
	}
	scale := *s.dist.Mean * float64(n) / sum
	for i, v := range draws {
		out[i] = int64(math.RoundToEven(s.clip(v * scale)))
	}
	return out
}

// Float draws a number. What lies outside of min and max is set to them, as the field's
// multi-turn benchmark does.
func (s *Sampler) Float(r *rand.Rand) float64 {
	return s.clip(s.draw(r))
}

func (s *Sampler) clip(v float64) float64 {
	if s.dist.Min != nil {
		v = math.Max(v, *s.dist.Min)
	}
	if s.dist.Max != nil {
		v = math.Min(v, *s.dist.Max)
	}
	return v
}

func (s *Sampler) draw(r *rand.Rand) float64 {
	d := s.dist
	switch d.Kind {
	case Uniform:
		return *d.Min + r.Float64()*(*d.Max-*d.Min)
	case Normal:
		return *d.Mean + *d.Std*r.NormFloat64()
	case Lognormal:
		return math.Exp(s.mu + s.sigma*r.NormFloat64())
	case Exponential:
		return *d.Mean * r.ExpFloat64()
	case Poisson:
		return poisson(r, *d.Mean)
	case Zipf:
		if s.cum == nil {
			return float64(rand.NewZipf(r, *d.Alpha, 1, zipfTail).Uint64() + 1)
		}
		return float64(s.index(r) + 1)
	case Choice:
		return d.Values[s.index(r)]
	}
	return d.Value
}

// index draws an index by the cumulative weights.
func (s *Sampler) index(r *rand.Rand) int {
	u := r.Float64() * s.cum[len(s.cum)-1]
	return min(sort.SearchFloat64s(s.cum, math.Nextafter(u, math.Inf(1))), len(s.cum)-1)
}

// poisson draws by Knuth's product of uniforms, in pieces small enough for exp: the sum
// of Poisson variables is one of the sum of their means.
func poisson(r *rand.Rand, mean float64) float64 {
	const piece = 30
	n := 0.0
	for mean > 0 {
		m := math.Min(mean, piece)
		mean -= m
		limit := math.Exp(-m)
		for p := r.Float64(); p > limit; p *= r.Float64() {
			n++
		}
	}
	return n
}
