package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sparkrun/targets"
)

// Start starts a program on the node. One with a Log goes on when the connection breaks,
// and is followed again on the next one; it ends by itself some time after our death,
// unless it is to Outlive us. One without a Log is a conversation: its standard streams are
// those of an SSH session, and it must end when its standard input does.
func (n *SSH) Start(ctx context.Context, c targets.Cmd) (targets.Proc, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(c.Argv, " "), context.Cause(ctx))
	}
	hash := ""
	if c.Mark.Run != "" {
		hash = n.hash(c.Mark)
	}
	program, err := n.program(c, hash)
	if err != nil {
		return nil, err
	}
	p := &sshProcess{node: n, cmd: c, hash: hash, done: make(chan struct{}), logged: make(chan struct{})}
	if c.Log == "" {
		err = p.converse(ctx, program)
	} else {
		err = p.detach(ctx, program)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", c.Argv[0], n.opts.Name, err)
	}
	return p, nil
}

// sshProcess is a program on a node.
type sshProcess struct {
	node    *SSH
	cmd     targets.Cmd
	hash    string
	folder  string // with its log, on the node; "" for a conversation
	lease   time.Duration
	pid     int
	born    uint64
	session int

	cancel context.CancelFunc // ends following
	stdin  io.Closer          // of a conversation that is a lifeline
	done   chan struct{}
	logged chan struct{}
	err    error // set before done is closed

	stopOnce  sync.Once
	survivors []targets.Process
	stopErr   error
}

func (p *sshProcess) Pid() int                { return p.pid }
func (p *sshProcess) Started() uint64         { return p.born }
func (p *sshProcess) Done() <-chan struct{}   { return p.done }
func (p *sshProcess) Logged() <-chan struct{} { return p.logged }

func (p *sshProcess) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// processFolder is the folder of a mark's program on the node.
func (n *SSH) processFolder(ctx context.Context, m targets.Mark) (string, error) {
	run, err := n.Folder(ctx, m.Run)
	return path.Join(run, "process-"+n.hash(m)), err
}

// startedLine reads "started PID TICKS SESSION".
func (p *sshProcess) startedLine(line string) error {
	if _, err := fmt.Sscanf(line, "started %d %d %d\n", &p.pid, &p.born, &p.session); err != nil {
		return fmt.Errorf("it answers %q", line)
	}
	return nil
}

// detach starts the program so that it does not need the session.
func (p *sshProcess) detach(ctx context.Context, program string) error {
	n := p.node
	folder, err := n.processFolder(ctx, p.cmd.Mark)
	if err != nil {
		return err
	}
	p.folder = folder
	values := map[string]string{"folder": folder, "mark": p.hash, "lease": "", "lifeline": ""}
	if !p.cmd.Outlive {
		p.lease = n.Patience() * 3 / 2 // a connection that comes back in time finds it running
		values["lease"] = strconv.FormatFloat(p.lease.Seconds(), 'f', -1, 64)
	}
	if p.cmd.Lifeline {
		values["lifeline"] = "yes"
	}
	log, err := Local{Self: n.opts.Self}.logWriter(p.cmd)
	if err != nil {
		return fmt.Errorf("write its log: %w", err)
	}
	s := ours("start", values)
	whole := &script{}
	whole.WriteString(program + s.String())
	said, err := n.do(ctx, "start it", whole)
	if err == nil {
		err = p.startedLine(said)
	}
	if err != nil {
		// It may run nevertheless: the answer can be lost.
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
		defer cancel()
		_, _, endErr := n.end(short, p.hash, targets.Process{}, 0, 0, folder)
		log.in.Close()
		return errors.Join(err, endErr, log.cmd.Wait())
	}
	follow, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	n.watching.Go(func() {
		defer close(p.logged)
		p.follow(follow, log.in)
		close(p.done)
		log.in.Close()
		_ = log.cmd.Wait()
	})
	return nil
}

// errDetached says that a session that followed a program ended and the program did not.
var errDetached = errors.New("the session ended")

// follow copies the program's output to log until it ends, over as many connections as it
// takes.
func (p *sshProcess) follow(ctx context.Context, log io.Writer) {
	at := int64(0) // of the log, so many bytes have been copied
	for {
		err := p.attach(ctx, log, &at)
		switch {
		case errors.Is(err, errDetached) && ctx.Err() == nil:
			continue // the next one waits for a connection
		case ctx.Err() != nil && err == nil:
			err = context.Cause(ctx)
		}
		p.err = err
		return
	}
}

// attach follows the program over one session.
func (p *sshProcess) attach(ctx context.Context, log io.Writer, at *int64) error {
	cmd, l, end, err := p.node.session(ctx)
	if err != nil {
		return err
	}
	defer end()
	stop := context.AfterFunc(ctx, end)
	defer stop()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	how := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = &afterBegins{to: &positioned{log, at}}, how
	if err := cmd.Session.Start(cmd.Path); err != nil {
		return errDetached
	}
	s := ours("attach", map[string]string{"folder": p.folder, "from": strconv.FormatInt(*at+1, 10)})
	if _, err := io.WriteString(stdin, s.framed()); err != nil {
		return errDetached
	}
	ended := make(chan struct{})
	l.ended.Go(func() {
		every := time.NewTicker(max(time.Second/4, p.lease/4))
		defer every.Stop()
		defer stdin.Close()
		for {
			if _, err := io.WriteString(stdin, "\n"); err != nil {
				return
			}
			select {
			case <-every.C:
			case <-ended:
				return
			}
		}
	})
	_ = cmd.Wait()
	close(ended)
	return exitOf(how.String())
}

// exitOf reads how attach.sh says that a program ended.
func exitOf(text string) error {
	line := strings.TrimSpace(text)
	line = line[strings.LastIndexByte(line, '\n')+1:]
	if code, ok := strings.CutPrefix(line, "exit "); ok {
		n, err := strconv.Atoi(code)
		if err != nil {
			return fmt.Errorf("exit status %s", code)
		}
		return targets.ExitStatus(n)
	}
	if line == "gone" {
		return errors.New("it is gone, and nobody knows how it ended: the node was started anew, or it was killed with all that watched it")
	}
	return errDetached
}

// positioned counts what has been written.
type positioned struct {
	to io.Writer
	at *int64
}

func (w *positioned) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	*w.at += int64(n)
	return n, err
}

// converse starts the program in a session whose streams are its own.
func (p *sshProcess) converse(ctx context.Context, program string) error {
	cmd, l, end, err := p.node.session(ctx)
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		end()
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		end()
		return err
	}
	to := p.cmd.Output
	if to == nil {
		to = io.Discard
	}
	if cmd.Stderr = p.cmd.Stderr; cmd.Stderr == nil { // two streams, and one writer
		shared := &sharedWriter{to: to}
		to, cmd.Stderr = shared, shared
	}
	s := &script{}
	s.WriteString(program + remoteScript("lib") + "if [ -n \"$language\" ]; then LC_ALL=$language; else unset LC_ALL; fi\n" +
		"(environment; command -v -- \"$argv0\") >/dev/null || { echo 'there is no such program'; exit 91; }\n" +
		"stat_of self && echo \"started ${line%% *} $started $session\"\nprogram\n")
	in := bufio.NewReaderSize(out, 64<<10)
	answered := make(chan error, 1)
	l.ended.Go(func() {
		err := cmd.Session.Start(cmd.Path)
		if err == nil {
			_, err = io.WriteString(stdin, s.framed())
		}
		var line string
		for noise := 0; err == nil && line != begins && noise < maxNoise; noise += len(line) {
			line, err = in.ReadString('\n')
		}
		if err == nil {
			line, err = in.ReadString('\n')
		}
		switch {
		case err != nil:
			err = p.node.broken(ctx, l, err)
		case strings.HasPrefix(line, "there is no such program"):
			err = errors.New("there is no such program")
		default:
			err = p.startedLine(line)
		}
		answered <- err
	})
	limited, cancel := context.WithTimeoutCause(ctx, callLimit, fmt.Errorf("%w: no answer within %s", targets.ErrUnreachable, callLimit))
	defer cancel()
	select {
	case err = <-answered:
	case <-limited.Done():
		err = context.Cause(limited)
	}
	if err != nil {
		end()
		return err
	}
	p.cancel = end
	switch { // one closes it: the library bears no other beside one who writes or closes
	case p.cmd.Stdin != nil:
		// Like that of exec.Cmd, it ends when the reader does.
		go func() {
			_, _ = io.Copy(stdin, p.cmd.Stdin)
			stdin.Close()
		}()
	case p.cmd.Lifeline:
		p.stdin = stdin
	default:
		stdin.Close()
	}
	p.node.watching.Go(func() {
		defer end()
		_, _ = io.Copy(to, in)
		err := cmd.Wait()
		var exit *ssh.ExitError
		switch {
		case errors.As(err, &exit) && exit.Signal() != "":
			err = fmt.Errorf("signal: %s", exit.Signal())
		case errors.As(err, &exit):
			err = fmt.Errorf("exit status %d", exit.ExitStatus())
		case err != nil:
			err = p.node.fault(p.node.broken(context.Background(), l, err))
		}
		p.err = err
		close(p.done)
		close(p.logged)
	})
	return nil
}

// sharedWriter is a writer for several goroutines.
type sharedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *sharedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// Stop ends the program with all that it started.
func (p *sshProcess) Stop(ctx context.Context, grace time.Duration) ([]targets.Process, error) {
	p.stopOnce.Do(func() { p.survivors, p.stopErr = p.stop(ctx, grace) })
	return p.survivors, p.stopErr
}

func (p *sshProcess) stop(ctx context.Context, grace time.Duration) ([]targets.Process, error) {
	if p.stdin != nil {
		p.stdin.Close()
	}
	_, outlived, err := p.node.end(ctx, p.hash, targets.Process{Pid: p.pid, Started: p.born}, p.session, grace, "")
	if err == nil {
		select {
		case <-p.logged: // with its last words
		case <-time.After(lastWords + killWait):
		}
	}
	p.cancel()
	<-p.done
	<-p.logged
	if err == nil && p.folder != "" {
		_, _, err = p.node.end(ctx, p.hash, targets.Process{}, 0, 0, p.folder) // its folder
	}
	var survivors []targets.Process
	for _, q := range outlived {
		if q.Pid != p.pid {
			survivors = append(survivors, q)
		}
	}
	return survivors, err
}
