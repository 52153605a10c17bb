package load

import (
	"math"
	"runtime"
	"time"
)

// A timer of the runtime is 0.1 to 0.9 ms late. The last stretch before a moment is
// therefore slept through in naps of the kernel's, which are not; between two of them the
// engine takes what has ended.
const (
	lastStretch = 1500 * time.Microsecond // for a timer to be late in
	longestNap  = 200 * time.Microsecond
	napLate     = 15 * time.Microsecond // what a nap is late by: given up by yielding
)

// precisely waits for a request to end or the clock to reach until, which is near.
func (e *engine) precisely(until int64) {
	// Requests that were just sent leave before this thread sleeps on their processor.
	runtime.Gosched()
	for {
		select {
		case j := <-e.ended:
			e.done(j)
			return
		case <-e.Stop:
			return
		case <-e.ctx.Done():
			return
		default:
		}
		left := time.Duration(until - e.Clock.Now())
		switch {
		case left <= 0:
			return
		case left > napLate:
			nap(min(left-napLate, longestNap))
		default:
			runtime.Gosched()
		}
	}
}

// coarse is how much of the wait for until a timer may do.
func (e *engine) coarse(until int64) time.Duration {
	if until == math.MaxInt64 {
		return math.MaxInt64
	}
	left := time.Duration(until - e.Clock.Now())
	if e.Precise {
		left -= lastStretch
	}
	return left
}
