//go:build unix

package node

import (
	"os/exec"
	"syscall"
)

// ownSession puts the program into a session of its own: a Ctrl-C or a hang-up of our
// terminal does not reach it, and its group is its own.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func signalOf(kill bool) syscall.Signal {
	if kill {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}

// signalGroup signals every process of the group that pid leads.
func signalGroup(pid int, kill bool) error { return syscall.Kill(-pid, signalOf(kill)) }

func signalProcess(pid int, kill bool) error { return syscall.Kill(pid, signalOf(kill)) }
