package wire

import (
	"time"

	"sparkrun/runner/record"
)

// stamper turns the kernel's receive stamps, which are wall-clock times, into times on
// the run's monotonic clock. It belongs to one reader.
type stamper struct {
	clock   record.Clock
	now     func() (wall, at int64) // both clocks read as one
	offset  int64                   // wall − at, as measured last
	stepped bool                    // the wall clock was set between the last two measurements
	known   bool
}

// stepLimit is how far two measurements of the offset may be apart before it is a step of
// the wall clock: above what reading two clocks one after the other and a slewed clock
// come to, below what would be seen in a latency.
const stepLimit = int64(20 * time.Microsecond)

// bothClocks reads the wall clock and c.
func bothClocks(c record.Clock) func() (wall, at int64) {
	return func() (wall, at int64) {
		t := time.Now()
		return t.UnixNano(), int64(t.Sub(c.Epoch))
	}
}

// measure measures the offset and returns the clock's time. It is called before the
// reads whose stamps are to be converted.
func (s *stamper) measure() (at int64) {
	wall, at := s.now()
	off := wall - at
	// A reader that is put off the CPU between the two readings sees an offset that was
	// never there; a step is there also the next time.
	for range 8 {
		if !s.known || near(off, s.offset) {
			break
		}
		wall, at = s.now()
		again := wall - at
		if near(again, off) {
			off = again
			break
		}
		off = again
	}
	s.stepped = s.known && !near(off, s.offset)
	s.offset, s.known = off, true
	return at
}

func near(a, b int64) bool { return a-b < stepLimit && b-a < stepLimit }

// convert is the clock time of a kernel stamp (0: there is none) on bytes that a read
// brought which ended at now, when nothing was left to read at floor. What lies outside of
// these has been stamped by a clock that was set since; the end of the read is the best
// that is known then.
func (s *stamper) convert(wall, floor, now int64) (at int64, kernel bool) {
	at = wall - s.offset
	if wall == 0 || s.stepped || at < floor-stepLimit || at > now+stepLimit {
		return now, false
	}
	return min(max(at, floor), now), true
}
