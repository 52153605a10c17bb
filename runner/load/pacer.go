package load

import (
	"math"
	"math/rand/v2"
	"time"

	"sparkrun/scenario/plan"
)

// newPacer makes the arrivals of an open-loop phase. All are drawn from the seed alone,
// so that the schedule is fixed before the phase begins.
func newPacer(p *plan.Phase, seed uint64) Pacer {
	total := p.Duration
	if total == 0 {
		total = p.MaxDuration
	}
	c := &curvePacer{curve: *p.Rate, total: total, gap: func() float64 { return 1 }}
	r := rand.New(rand.NewPCG(seed, 0x6172726976616c)) // "arrival"
	switch p.Arrival {
	case "poisson":
		c.gap = r.ExpFloat64
	case "gamma":
		// Mean 1, variance 1/burstiness: below 1 arrivals come in bursts, 1 is Poisson.
		c.gap = func() float64 { return gamma(r, p.Burstiness) / p.Burstiness }
	}
	c.random = p.Arrival != "constant"
	return c
}

// gamma draws from the gamma distribution of the given shape and scale 1: Marsaglia and
// Tsang, "A simple method for generating gamma variables" (2000).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := r.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// curvePacer spaces arrivals so that the integral of the rate grows by one between two
// of them (constant), or by a variable of mean one (Poisson: exponential): a
// non-homogeneous process by time rescaling. It must be asked in order.
type curvePacer struct {
	curve  plan.Curve
	total  time.Duration
	gap    func() float64
	random bool    // the first arrival too comes after a gap
	mass   float64 // integral of the rate up to the last arrival
	next   int64
	at     time.Duration
	done   bool
}

// Next returns the time of arrival number sent; asking for the same one twice gives the
// same answer.
func (c *curvePacer) Next(_ time.Duration, sent int64) (at time.Duration, ok bool) {
	for c.next <= sent && !c.done {
		if c.random || c.next > 0 {
			c.mass += c.gap()
		}
		c.at, c.done = c.invert(c.mass)
		c.next++
	}
	return c.at, !c.done
}

// invert is the time at which the integral of the rate reaches mass; done where it never does.
func (c *curvePacer) invert(mass float64) (at time.Duration, done bool) {
	from, to, total := c.curve.From, c.curve.To, c.total.Seconds()
	seconds := 0.0
	switch {
	case from == to || total == 0:
		if to <= 0 {
			return 0, true
		}
		seconds = mass / to
	default:
		// from·t + (to−from)/(2·total)·t² = mass, by bisection: exact to a nanosecond and
		// free of the cancellation that the closed form has.
		area := func(t float64) float64 { return from*t + (to-from)*t*t/(2*total) }
		if mass > area(total) {
			if to <= 0 {
				return 0, true
			}
			seconds = total + (mass-area(total))/to
			break
		}
		lo, hi := 0.0, total
		for hi-lo > 1e-10 {
			if mid := (lo + hi) / 2; area(mid) < mass {
				lo = mid
			} else {
				hi = mid
			}
		}
		seconds = hi
	}
	return time.Duration(seconds * 1e9), false
}

// tracePacer has the arrivals of a recorded trace from one of its conversations on, in
// time that goes speed times as fast.
type tracePacer struct {
	arrival func(i int64) (at time.Duration, ok bool)
	from    int64
	speed   float64
}

func (t tracePacer) Next(_ time.Duration, sent int64) (at time.Duration, ok bool) {
	zero, ok := t.arrival(t.from)
	if !ok {
		return 0, false
	}
	at, ok = t.arrival(t.from + sent)
	return time.Duration(float64(at-zero) / t.speed), ok
}
