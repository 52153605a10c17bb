package load

import (
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
	c := &curvePacer{curve: *p.Rate, total: total}
	if p.Arrival != "constant" {
		c.rand = rand.New(rand.NewPCG(seed, 0x6172726976616c)) // "arrival"
	}
	return c
}

// curvePacer spaces arrivals so that the integral of the rate grows by one between two
// of them (constant), or by an exponential variable of mean one (Poisson): a
// non-homogeneous Poisson process by time rescaling. It must be asked in order.
type curvePacer struct {
	curve plan.Curve
	total time.Duration
	rand  *rand.Rand
	mass  float64 // integral of the rate up to the last arrival
	next  int64
	at    time.Duration
	done  bool
}

// Next returns the time of arrival number sent; asking for the same one twice gives the
// same answer.
func (c *curvePacer) Next(_ time.Duration, sent int64) (at time.Duration, ok bool) {
	for c.next <= sent && !c.done {
		switch {
		case c.rand != nil:
			c.mass += c.rand.ExpFloat64()
		case c.next > 0:
			c.mass++
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
