//go:build unix

package node

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"sparkrun/targets"
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

// exitError says of a program's end what targets tells apart.
func exitError(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
		return fmt.Errorf("signal: %w", targets.ErrKilled)
	}
	if exit.ExitCode() > 0 {
		return targets.ExitStatus(exit.ExitCode())
	}
	return err
}

// signalGroup signals every process of the group that pid leads.
func signalGroup(pid int, kill bool) error { return syscall.Kill(-pid, signalOf(kill)) }

func signalProcess(pid int, kill bool) error { return syscall.Kill(pid, signalOf(kill)) }
