package load

import (
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// Share is the part of a load that an engine puts on the server where several do it
// together: arrival k of an open loop, conversation k of the dataset and slot k of a closed
// loop belong to rank k mod Size. The zero Share is all of it.
type Share struct{ Rank, Size int }

// of is how many of n things numbered from 0 are the rank's.
func (s Share) of(n int64) int64 {
	if s.Size <= 1 {
		return n
	}
	size, rank := int64(s.Size), int64(s.Rank)
	return (n + size - 1 - rank) / size
}

// size is how many engines there are.
func (s Share) size() int64 { return int64(max(1, s.Size)) }

// atLeastOne is the rank's part of a limit whose 0 means that there is none.
func (s Share) atLeastOne(limit int64) int64 {
	if limit <= 0 {
		return limit
	}
	return max(1, s.of(limit))
}

// Quota is the rank's part of what a phase may send in all. Where a closed loop has fewer
// slots than there are ranks, those without one send nothing.
func (s Share) Quota(p *plan.Phase, n int64) int64 {
	if c := p.Concurrency; c != nil {
		s.Size = min(s.Size, int(max(c.From, c.To, 1)))
		if s.Rank >= max(1, s.Size) {
			return 0
		}
	}
	return s.of(n)
}

// Engines is how many of n engines find something to do in phases: no more than a closed
// loop has slots.
func Engines(phases []plan.Phase, n int) int {
	most := 1
	for i := range phases {
		if c := phases[i].Concurrency; c != nil {
			most = max(most, int(max(c.From, c.To)))
		} else {
			return n
		}
	}
	return min(n, most)
}

// sharePacer has the arrivals of one rank.
type sharePacer struct {
	Pacer
	Share
}

func (s sharePacer) Next(elapsed time.Duration, sent int64) (at time.Duration, ok bool) {
	return s.Pacer.Next(elapsed, int64(s.Rank)+sent*s.size())
}

// Arrivals are the times, from the phase's start, of a rank's arrivals in a phase of an
// open loop that is number phase of a load with the seed. There is no end to those of a
// phase without a duration.
func Arrivals(p *plan.Phase, phase int, seed uint64, s Share) Pacer {
	all := newPacer(p, seed+uint64(phase))
	if s.Size <= 1 {
		return all
	}
	return sharePacer{all, s}
}

// Gate is where an engine meets the others that share its load.
type Gate struct {
	// Over is told that a phase has nothing more to send, and has drained where it must.
	Over func(PhaseOutcome)
	// Ended is told that no conversation will be opened any more; may be nil.
	Ended func()
	// Starts has, once for each phase, the Clock time at which it begins. It may be there
	// before the phase before is over.
	Starts <-chan int64
	// Ends has the number of a phase that is to end now: one with min_requests, which
	// nobody else can count, or until_stable, which nobody else can judge.
	Ends <-chan int
}

// start waits for the moment at which the phase begins, which for an engine by itself is
// now; false where it is stopped before. What ends meanwhile is taken.
func (e *engine) start() (at int64, ok bool) {
	if e.Gate == nil {
		return e.Clock.Now(), true
	}
	select {
	case at = <-e.Gate.Starts: // there already
	default:
	}
	for at == 0 {
		select {
		case at = <-e.Gate.Starts:
		case j := <-e.ended:
			e.done(j)
		case <-e.Gate.Ends: // of a phase that is over
		case <-e.Stop:
			return 0, !e.stopped()
		case <-e.ctx.Done():
			return 0, !e.stopped()
		}
	}
	for e.Clock.Now() < at {
		if e.stopped() {
			return 0, false
		}
		e.wait(at)
	}
	e.late = e.Clock.Now() - at
	return at, true
}

// Rules are what decides over the requests of all engines together: when a phase with
// min_requests or until_stable may end, and whether the cell is to be given up.
type Rules struct {
	phase    *plan.Phase
	current  int
	finished int64
	stable   *stability
	abort    aborter
}

// NewRules are those of a cell with this abort rule, nil for none.
func NewRules(abort *plan.Abort) *Rules { return &Rules{abort: aborter{rule: abort}} }

// Begin begins a phase.
func (r *Rules) Begin(p *plan.Phase, index int) {
	r.phase, r.current, r.finished, r.stable = p, index, 0, newStability(p)
}

// Add takes an ended request of any of the engines.
func (r *Rules) Add(rec *record.Record) {
	if rec.Phase == r.current {
		r.finished++
		r.stable.add(rec)
	}
	r.abort.add(rec)
}

// Ends reports whether a phase that has gone on for so long must be told to end.
func (r *Rules) Ends(elapsed time.Duration) bool {
	p := r.phase
	return r.stable.reached() || p.MinRequests > 0 && elapsed >= p.Duration && r.finished >= p.MinRequests
}

// Stable reports whether the phase's requests have become stable.
func (r *Rules) Stable() bool { return r.stable.reached() }

// Aborted is why the cell is to be given up, "" if it is not.
func (r *Rules) Aborted() string { return r.abort.why }
