package wire

import (
	"context"
	"time"

	"sparkrun/runner/record"
)

// A timer of the runtime is 0.1 to 0.9 ms late. The last stretch before a moment is
// therefore slept through in naps of the kernel's, which are not.
const (
	lastStretch = 1500 * time.Microsecond // for a timer to be late in
	longestNap  = 200 * time.Microsecond
)

// sleepUntil waits for a clock time; false where ctx ended before.
func sleepUntil(ctx context.Context, clock record.Clock, at int64) bool {
	if left := time.Duration(at-clock.Now()) - lastStretch; left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	for ctx.Err() == nil {
		left := time.Duration(at - clock.Now())
		if left <= 0 {
			return true
		}
		nap(min(left, longestNap))
	}
	return false
}
