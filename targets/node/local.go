package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"sparkrun/targets"
)

// Local is this machine.
type Local struct {
	Self string // path of this program, which writes the logs of what it starts
}

var _ targets.Node = Local{}

// Run runs a program to its end. A non-zero exit is in Output, not an error.
func (Local) Run(ctx context.Context, c targets.Cmd) (targets.Output, error) {
	cmd, err := command(c)
	if err != nil {
		return targets.Output{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return targets.Output{}, fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
	kill := context.AfterFunc(ctx, func() { _ = signalGroup(cmd.Process.Pid, true) })
	defer kill()
	err = cmd.Wait()
	out := targets.Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("run %s: %w", c.Argv[0], context.Cause(ctx))
	case err != nil && !errors.As(err, &exit):
		return out, fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
	return out, nil
}

// Put writes a file with the mode, atomically, and the folders above it.
func (Local) Put(_ context.Context, path string, r io.Reader, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, r)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Dial connects to an address as this machine sees it.
func (Local) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// Close does nothing: there is no connection to this machine.
func (Local) Close() error { return nil }

// command makes the exec.Cmd of c: a session of its own, our environment with c's
// and its mark over it.
func command(c targets.Cmd) (*exec.Cmd, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("start a program: no argv")
	}
	path, err := exec.LookPath(c.Argv[0])
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	cmd := &exec.Cmd{Path: path, Args: c.Argv, Dir: c.Dir, Env: os.Environ()}
	if c.Name != "" {
		cmd.Args = append([]string{c.Name}, c.Argv[1:]...)
	}
	for k, v := range c.Env {
		cmd.Env = append(cmd.Env, k+"="+v.Reveal())
	}
	if c.Mark.Run != "" {
		cmd.Env = append(cmd.Env, targets.MarkRun+"="+c.Mark.Run, targets.MarkServer+"="+c.Mark.Server)
		// Python's setproctitle writes the title over the environment, and the mark is
		// gone; this keeps it from doing so.
		cmd.Env = append(cmd.Env, "SPT_NOENV=1")
	}
	ownSession(cmd)
	return cmd, nil
}

// Processes are the processes of this machine that carry a mark.
func (Local) Processes(context.Context) ([]targets.Process, error) { return marked(), nil }

// Listener is who listens on the port.
func (Local) Listener(_ context.Context, port int) (*targets.Listener, error) { return listener(port) }

// Memory is this machine's memory, zero where the system has no /proc.
func (Local) Memory(context.Context) (targets.Memory, error) {
	return targets.Memory{Total: meminfo("MemTotal"), Available: meminfo("MemAvailable"), Resident: resident(), OOMKills: oomKills()}, nil
}
