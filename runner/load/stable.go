package load

import (
	"math"
	"slices"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// How alike two stretches of requests must be for a warm-up to be over.
const (
	stableTPOT  = 0.05
	stableTTFT  = 0.10
	stableLeast = 10 // requests in a stretch, or as many as are in flight
)

// stability watches whether requests still get faster. It compares the medians of the
// last stretch of ended requests with those of the one before.
type stability struct {
	size       int
	ttft, tpot []float64 // of the requests that ended ok, in their order
	settled    bool      // it was so once: what ends while the phase is being ended does not undo it
}

func newStability(p *plan.Phase) *stability {
	if !p.UntilStable {
		return nil
	}
	s := &stability{size: stableLeast}
	if c := p.Concurrency; c != nil {
		s.size = max(s.size, int(math.Ceil(max(c.From, c.To))))
	}
	return s
}

// add takes an ended request; what did not come as a stream counts by its latency.
func (s *stability) add(rec *record.Record) {
	if s == nil || rec.Status != record.OK {
		return
	}
	first := rec.FirstToken
	if first == 0 {
		first = rec.LastToken
	}
	s.ttft = append(s.ttft, float64(first-rec.Sent))
	tpot := math.NaN()
	if n := rec.OutputTokens - rec.FirstEventTokens; n > 0 && rec.FirstToken != 0 && rec.LastToken > rec.FirstToken {
		tpot = float64(rec.LastToken-rec.FirstToken) / float64(n)
	}
	s.tpot = append(s.tpot, tpot)
	s.settled = s.settled || s.alike()
}

// reached reports whether two stretches have been alike.
func (s *stability) reached() bool { return s != nil && s.settled }

// alike reports whether the last two stretches are.
func (s *stability) alike() bool {
	if len(s.ttft) < 2*s.size {
		return false
	}
	alike := func(all []float64, within float64) bool {
		all = all[len(all)-2*s.size:]
		a, aKnown := medianOf(all[:s.size])
		b, bKnown := medianOf(all[s.size:])
		return aKnown == bKnown && math.Abs(b-a) <= within*a
	}
	return alike(s.ttft, stableTTFT) && alike(s.tpot, stableTPOT)
}

// medianOf is the median of the values that are known; 0 and false where none is.
func medianOf(values []float64) (median float64, known bool) {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return 0, false
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, true
}
