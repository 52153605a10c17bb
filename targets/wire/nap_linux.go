package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps in the kernel. The slack of 50 µs that threads have by default is taken off
// each time, as the goroutine may have moved to another thread.
func nap(d time.Duration) {
	_, _, _ = unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0, 0)
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // early where a signal came: the caller looks at the clock
}
