package generator

import "time"

// probe is one ping: the clock here at its two ends, and there in between.
type probe struct{ sent, there, back int64 }

// trip is how long it was under way.
func (p probe) trip() int64 { return p.back - p.sent }

// remembered is how many probes count: at a ping a quarter of a second those of 8 s, in
// which two clocks drift apart by less than the way of a ping is uncertain.
const remembered = 32

// offset is how far a worker's clock is behind ours, by the probe of the last ones that was
// the shortest under way (RFC 5905, section 8, with symmetric delays): the answer was
// written in the middle of it, give or take half of it.
type offset struct {
	probes [remembered]probe
	n      int // that there have been
}

func (o *offset) add(p probe) {
	o.probes[o.n%remembered] = p
	o.n++
}

// best is the offset in ns, what it may be wrong by, and false where nothing is known.
func (o *offset) best() (ahead, within int64, ok bool) {
	n := min(o.n, remembered)
	if n == 0 {
		return 0, 0, false
	}
	p := o.probes[0]
	for _, q := range o.probes[1:n] {
		if q.trip() < p.trip() {
			p = q
		}
	}
	return p.sent + p.trip()/2 - p.there, (p.trip() + 1) / 2, true
}

// How often a worker is asked for its clock, and after how long without a word it is lost.
const pingEvery = 250 * time.Millisecond

// A variable for tests.
var lostAfter = 5 * time.Second
