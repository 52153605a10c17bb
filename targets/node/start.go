package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"sparkrun/targets"
)

// Start starts a program in a session of its own. Cancelling ctx later does not stop it;
// Proc.Stop does.
func (n Local) Start(ctx context.Context, c targets.Cmd) (targets.Proc, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], context.Cause(ctx))
	}
	cmd, err := command(c)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, mark: c.Mark, done: make(chan struct{}), logged: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Output, c.Output
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	// A child of the child that keeps our pipe open must not keep Wait from returning.
	cmd.WaitDelay = 2 * time.Second
	written := make(chan struct{})
	if c.Log != "" {
		log, err := n.logWriter(c)
		if err != nil {
			return nil, fmt.Errorf("start %s: write its log: %w", c.Argv[0], err)
		}
		defer log.in.Close() // the program has its own copy
		cmd.Stdout, cmd.Stderr = log.in, log.in
		go func() { _ = log.cmd.Wait(); close(written) }()
	} else {
		close(written)
	}
	if c.Lifeline {
		if p.lifeline, err = cmd.StdinPipe(); err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	p.started = started(cmd.Process.Pid)
	go func() {
		p.err = exitError(cmd.Wait())
		close(p.done)
		select {
		case <-written:
		case <-time.After(lastWords): // a child of it holds the log open
		}
		close(p.logged)
	}()
	return p, nil
}

// lastWords is how long a program's log may take to be written out after its end.
const lastWords = time.Second

// LogWriterCommand is the hidden command of this program that writes a log. It outlives
// the run, as the server may: `sparkrun log-writer FILE`, the secrets as a JSON list on
// file descriptor 3.
const LogWriterCommand = "log-writer"

// logWriter is the process that writes a server's output.
type logWriter struct {
	cmd *exec.Cmd
	in  *os.File
}

func (n Local) logWriter(c targets.Cmd) (*logWriter, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	secretsOut, secretsIn, err := os.Pipe()
	if err != nil {
		w.Close()
		return nil, err
	}
	defer secretsOut.Close()
	defer secretsIn.Close()
	cmd := &exec.Cmd{Path: n.Self, Args: []string{"sparkrun", LogWriterCommand, c.Log}, Env: os.Environ(), Stdin: r, ExtraFiles: []*os.File{secretsOut}}
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	if err := json.NewEncoder(secretsIn).Encode(slices.Concat([]string{}, c.Secrets)); err != nil {
		w.Close()
		return nil, errors.Join(err, cmd.Wait())
	}
	return &logWriter{cmd, w}, nil
}

// process is a started local program, with what it started.
type process struct {
	cmd      *exec.Cmd
	mark     targets.Mark
	started  uint64
	lifeline io.WriteCloser
	done     chan struct{}
	logged   chan struct{}
	err      error // set before done is closed

	stopOnce  sync.Once
	survivors []targets.Process
	stopErr   error
}

func (p *process) Pid() int              { return p.cmd.Process.Pid }
func (p *process) Started() uint64       { return p.started }
func (p *process) Done() <-chan struct{} { return p.done }

// Logged is closed a moment after Done.
func (p *process) Logged() <-chan struct{} { return p.logged }

func (p *process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop asks the group to end and kills what is left after grace.
func (p *process) Stop(ctx context.Context, grace time.Duration) ([]targets.Process, error) {
	p.stopOnce.Do(func() { p.survivors, p.stopErr = p.stop(ctx, grace) })
	return p.survivors, p.stopErr
}

func (p *process) stop(ctx context.Context, grace time.Duration) ([]targets.Process, error) {
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
	// The program may be gone while a child of it lives on, in its group or out of it.
	left := p.family()
	survivors := slices.DeleteFunc(slices.Clone(left), func(q targets.Process) bool { return q.Pid == pid })
	if !canFindProcesses {
		_ = signalGroup(pid, true)
	}
	if err := killAll(p.family); err != nil {
		return survivors, err
	}
	select {
	case <-p.done:
		return survivors, nil
	case <-time.After(killWait):
		return survivors, fmt.Errorf("pid %d (%s) is still there %s after SIGKILL", pid, p.cmd.Args[0], killWait)
	}
}

// family are the living processes that the program has become.
func (p *process) family() []targets.Process {
	return family(p.mark, targets.Process{Pid: p.Pid(), Started: p.started})
}

// family are the living processes with the mark, and those of the session that the
// leader began: unless its pid has been given to another process since.
func family(m targets.Mark, leader targets.Process) []targets.Process {
	var all []targets.Process
	if now := started(leader.Pid); leader.Pid != 0 && (now == 0 || now == leader.Started) {
		all = inSession(leader.Pid)
	}
	for _, q := range marked() {
		if m.Run != "" && q.Mark == m && !slices.ContainsFunc(all, func(o targets.Process) bool { return o.Pid == q.Pid }) {
			all = append(all, q)
		}
	}
	return all
}

// How long killed processes may take to be gone, and how often that is asked.
const (
	killWait = 5 * time.Second
	killPoll = 10 * time.Millisecond
)

// killAll kills what find finds until it finds nothing. A process can start others while
// it is being killed, so it is asked again.
func killAll(find func() []targets.Process) error {
	var left []targets.Process
	for deadline := time.Now().Add(killWait); ; time.Sleep(killPoll) {
		if left = find(); len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			break
		}
		signalAll(left, true)
	}
	return fmt.Errorf("pid %d (%s) is still there %s after SIGKILL", left[0].Pid, left[0].Name, killWait)
}

// signalAll signals processes, each only if it is still the one that was found: its pid
// may have been given to another.
func signalAll(all []targets.Process, kill bool) {
	for _, q := range all {
		if q.Started != 0 && started(q.Pid) == q.Started {
			_ = signalProcess(q.Pid, kill)
		}
	}
}

// End ends the processes that carry the mark, and those of the leader's session.
func (Local) End(ctx context.Context, m targets.Mark, leader targets.Process, grace time.Duration) ([]targets.Process, error) {
	// Without its start time a leader is a number that may be anybody's, and one that is
	// gone can't vouch for its session.
	if leader.Started == 0 || started(leader.Pid) != leader.Started {
		leader = targets.Process{}
	}
	find := func() []targets.Process { return family(m, leader) }
	found := find()
	if len(found) == 0 {
		return nil, nil
	}
	signalAll(found, false)
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for len(find()) > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(killPoll):
		}
	}
	if err := killAll(find); err != nil {
		return found, fmt.Errorf("end the processes of %s: %w", m.Server, err)
	}
	return found, nil
}
