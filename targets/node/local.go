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
	"sync"
	"time"

	"sparkrun/targets"
)

// Local is this machine.
type Local struct{}

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

// Start starts a program in a process group of its own. Cancelling ctx later does not
// stop it; Proc.Stop does.
func (Local) Start(ctx context.Context, c targets.Cmd) (targets.Proc, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], context.Cause(ctx))
	}
	cmd, err := command(c)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Output, c.Output
	// A child of the child that keeps our pipe open must not keep Wait from returning.
	cmd.WaitDelay = 2 * time.Second
	if c.Lifeline {
		if p.lifeline, err = cmd.StdinPipe(); err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Put writes a file with the mode, atomically.
func (Local) Put(_ context.Context, path string, r io.Reader, mode fs.FileMode) error {
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

// command makes the exec.Cmd of c: own process group, our environment with c's over it.
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
	ownGroup(cmd)
	return cmd, nil
}

// process is a started local program and its group.
type process struct {
	cmd      *exec.Cmd
	lifeline io.WriteCloser
	done     chan struct{}
	err      error // set before done is closed
	stopOnce sync.Once
	stopErr  error
}

func (p *process) Pid() int              { return p.cmd.Process.Pid }
func (p *process) Done() <-chan struct{} { return p.done }

func (p *process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop asks the group to end and kills what is left of it after grace.
func (p *process) Stop(ctx context.Context, grace time.Duration) error {
	p.stopOnce.Do(func() { p.stopErr = p.stop(ctx, grace) })
	return p.stopErr
}

func (p *process) stop(ctx context.Context, grace time.Duration) error {
	if p.lifeline != nil {
		p.lifeline.Close()
	}
	pid := p.Pid()
	_ = signalGroup(pid, false)
	ctx, cancel := context.WithTimeoutCause(ctx, grace, errors.New("grace is over"))
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	// The leader may be gone while a child of it lives on: the group is what must end.
	_ = signalGroup(pid, true)
	select {
	case <-p.done:
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("stop pid %d (%s): still there 5s after SIGKILL", pid, p.cmd.Args[0])
	}
}
