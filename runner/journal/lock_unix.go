//go:build unix

package journal

import (
	"os"
	"syscall"
)

// lock takes the file for this process; false if another one has it.
func lock(f *os.File) bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }

// locked reports whether a process has taken the file. Those who only look do not disturb
// each other.
func locked(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
