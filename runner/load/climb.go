package load

// Climb finds the highest of n rungs at which a goal is met, measuring as few as it can:
// up from the lowest in growing strides until the goal is missed, then by halves, then the
// found one again for confirmation. A rung that was measured several times counts by the
// majority. Ask Next for a rung, measure it, tell Report, and so on.
type Climb struct {
	n, confirm int
	met        []int // times that the goal was met at each rung
	missed     []int
}

// NewClimb is a climb over n rungs whose end is measured confirm more times.
func NewClimb(n, confirm int) *Climb {
	return &Climb{n: n, confirm: confirm, met: make([]int, n), missed: make([]int, n)}
}

// Next is the rung to measure now; ok is false when there is nothing more to learn.
func (c *Climb) Next() (rung int, ok bool) {
	best, above := c.bracket()
	switch {
	case best < 0 && above > 0: // nothing yet, or the lowest rungs were not met after all
		return 0, c.met[0]+c.missed[0] == 0
	case best < 0:
		return 0, false
	case above == c.n && best < c.n-1:
		return min(c.n-1, max(best+1, 2*best+c.n/8)), true
	case above-best > 1:
		return (best + above) / 2, true
	}
	return best, c.met[best]+c.missed[best] <= c.confirm
}

// Report tells whether the goal was met at a rung.
func (c *Climb) Report(rung int, met bool) {
	if met {
		c.met[rung]++
	} else {
		c.missed[rung]++
	}
}

// Best is the highest rung below every missed one at which the goal is met, -1 for none.
func (c *Climb) Best() int {
	best, _ := c.bracket()
	return best
}

// bracket is the highest rung that is met below the lowest that is missed, and that one (n
// for none).
func (c *Climb) bracket() (best, above int) {
	best, above = -1, c.n
	for i := range c.n {
		switch {
		case c.isMissed(i):
			return best, i
		case c.met[i] > 0:
			best = i
		}
	}
	return best, above
}

// isMissed reports whether the goal is missed at a rung; a draw is, once its
// confirmations are over.
func (c *Climb) isMissed(rung int) bool {
	met, missed := c.met[rung], c.missed[rung]
	return missed > met || missed > 0 && missed == met && met+missed > c.confirm
}

// Monotonic reports whether no rung was met above a missed one: where it was, there is no
// one highest value, and the found one is the lowest edge.
func (c *Climb) Monotonic() bool {
	_, above := c.bracket()
	for i := above + 1; i < c.n; i++ {
		if c.met[i] > c.missed[i] {
			return false
		}
	}
	return true
}
