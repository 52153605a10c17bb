package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"time"

	"sparkrun/targets"
)

const (
	readyPoll = 100 * time.Millisecond
	// slowPoll is how often a server is asked that was not ready within the first seconds.
	slowPoll     = time.Second
	slowPollFrom = 10 * time.Second
	// memoryMoved is the change of the node's memory that counts as progress: an engine
	// that loads weights says nothing for minutes.
	memoryMoved = 256 << 20
)

var (
	errNotReady = errors.New("not ready in time")
	errStalled  = errors.New("no progress")
)

// ready asks until every replica of the server has generated a token, a program of it
// ends, it makes no progress, or time is up.
func (r *run) ready(ctx context.Context, srv *server) (model string, err error) {
	deadline, _ := srv.readyTimes()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(deadline, func() { cancel(errNotReady) })
	defer timer.Stop()
	watched := make(chan error, 1)
	if srv.launched() {
		go func() {
			err := r.watch(ctx, srv, r.exited)
			if err != nil {
				cancel(err)
			}
			watched <- err
		}()
		defer func() { cancel(nil); <-watched }()
	}
	progress := progressOf(srv)
	for replica := range srv.endpoints {
		if model, err = r.generates(ctx, cancel, srv, replica, progress); err != nil {
			return "", err
		}
	}
	return model, nil
}

// generates asks a replica until it has generated a token.
func (r *run) generates(ctx context.Context, cancel context.CancelCauseFunc, srv *server, replica int, progress *progress) (string, error) {
	deadline, stall := srv.readyTimes()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	begun := time.Now()
	var last error // that a question ended with, other than by our own doing
	for {
		model, err := srv.framework.Ready(ctx, client, srv.endpoints[replica])
		if err == nil {
			return model, nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if refused := (*targets.Refused)(nil); errors.As(err, &refused) {
			code := ReadyRefused
			if refused.WrongModel {
				code = ReadyWrongModel
			}
			return "", &Error{code, fmt.Errorf("%s: %w", waiting(srv, replica), err)}
		}
		poll := readyPoll
		if time.Since(begun) > slowPollFrom {
			poll = slowPoll
		}
		select {
		case <-ctx.Done():
			return "", notReady(ctx, srv, replica, last, deadline, stall)
		case <-time.After(poll):
		}
		if srv.launched() && progress.since(ctx, srv, err) > stall {
			cancel(errStalled)
		}
	}
}

func waiting(srv *server, replica int) string {
	return fmt.Sprintf("wait for %s at %s", srv.plan.Address, srv.endpoints[replica].URL)
}

// notReady is why the wait for a server ended, with what to do.
func notReady(ctx context.Context, srv *server, replica int, last error, deadline, stall time.Duration) error {
	cause, what := context.Cause(ctx), waiting(srv, replica)
	var known *Error
	switch {
	case errors.As(cause, &known):
		return known
	case errors.Is(cause, errInterrupted):
		return errInterrupted
	case !srv.launched():
		return &Error{ReadyUnreachable, fmt.Errorf("%s: %w: is it running, and is the url right?", what, last)}
	case errors.Is(cause, errStalled):
		return fail(ReadyStalled, "%s: no progress for %s (ready { stall }): no new output, and the memory did not move: %v%s; %s", what, stall, last, srv.wayTo(replica, last), srv.said(replica))
	}
	return fail(ReadyTimeout, "%s: not ready after %s (ready { deadline }): %v%s; %s", what, deadline, last, srv.wayTo(replica, last), srv.said(replica))
}

// wayTo says what may be in the way to a node whose port can't be connected to.
func (srv *server) wayTo(replica int, last error) string {
	head := srv.group(replica)[0]
	var connect *net.OpError
	if _, remote := head.node.(targets.Remote); !remote || head.tunnel != nil || !errors.As(last, &connect) || connect.Op != "dial" {
		return ""
	}
	return fmt.Sprintf(" (if it listens there, a firewall is in the way: open the port, or set access = \"ssh_tunnel\" in node %s)", head.host)
}

// watch ends with an error when a program of the server ends, or a node of it runs out of
// memory and the server had to be stopped.
func (r *run) watch(ctx context.Context, srv *server, end func(*server, *rank) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started, nodes := srv.started(), srv.nodes()
	low := make(chan error, len(nodes))
	for _, k := range nodes {
		go func() { low <- r.watchMemory(ctx, k, onNode(started, k.host)...) }()
	}
	gone := make(chan *rank, len(started))
	for _, k := range started {
		go func() {
			select {
			case <-k.proc.Done():
				gone <- k
			case <-ctx.Done():
				gone <- nil
			}
		}()
	}
	var err error
	for range len(nodes) + len(started) {
		select {
		case e := <-low:
			if e != nil && err == nil {
				err = errors.Join(e, r.stopNow(started))
			}
		case k := <-gone:
			if k != nil && err == nil {
				err = end(srv, k)
			}
		}
		if err != nil {
			cancel() // the first of them is the reason; the others end with it
		}
	}
	return err
}

// stopNow ends programs without grace.
func (r *run) stopNow(all []*rank) error {
	var errs []error
	for _, k := range all {
		_, err := k.proc.Stop(r.Control.cleanup, 0)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// exited is the error of a server a program of which has ended before it was ready.
func (r *run) exited(srv *server, k *rank) error {
	<-k.proc.Logged()
	code, evidence := because(k.proc.Err(), LaunchExited), ""
	if code == LaunchExited {
		evidence = r.killedForMemory(k)
	}
	switch {
	case code == HostUnreachable:
		return &Error{code, fmt.Errorf("%s: %s was lost before it was ready: %w", waiting(srv, k.replica), k, k.proc.Err())}
	case evidence != "":
		return fail(LaunchOutOfMemory, "%s: %s ended (%s) before it was ready: %s: %s%s", waiting(srv, k.replica), srv.program(k), ended(k), byKernel(evidence), k.log.died(), srv.others(k))
	case code != LaunchExited:
	case errors.Is(k.proc.Err(), targets.ErrNoEngine):
		code = HostDocker
	case k.log.diagnose().memory:
		code = LaunchOutOfMemory
	}
	return fail(code, "%s: %s ended (%s) before it was ready: %s%s", waiting(srv, k.replica), srv.program(k), ended(k), k.log.died(), srv.others(k))
}

// died is the error of a server a program of which has ended while it was measured.
func (r *run) died(srv *server, k *rank) error {
	<-k.proc.Logged()
	code, evidence := because(k.proc.Err(), MeasureServerDied), ""
	if code == MeasureServerDied {
		evidence = r.killedForMemory(k)
	}
	switch {
	case code == HostUnreachable:
		return &Error{code, fmt.Errorf("%s was lost while it was measured: %w", k, k.proc.Err())}
	case evidence != "":
		return fail(MeasureOutOfMemory, "%s ended (%s) while it was measured: %s: %s%s", k, ended(k), byKernel(evidence), k.log.died(), srv.others(k))
	case code == MeasureServerDied && errors.Is(k.proc.Err(), targets.ErrNoEngine):
		code = HostDocker
	}
	return fail(code, "%s ended (%s) while it was measured: %s%s", k, ended(k), k.log.died(), srv.others(k))
}

// program is how a rank is called where its server has been named already.
func (srv *server) program(k *rank) string {
	if len(srv.ranks) == 1 {
		return "its program"
	}
	return k.String()
}

// ended says how a rank's program ended.
func ended(k *rank) string {
	if err := k.proc.Err(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}

// progress is what a server that is not ready yet had come to, and when.
type progress struct {
	at     time.Time
	answer string   // what Ready said
	memory []uint64 // available on the nodes
}

func progressOf(srv *server) *progress {
	p := &progress{at: time.Now()}
	for _, k := range srv.nodes() {
		p.memory = append(p.memory, k.before.Available)
	}
	return p
}

// digits change from answer to answer without meaning: the ports of our connections.
var digits = regexp.MustCompile(`\d+`)

// since is how long nothing has changed on any node.
func (p *progress) since(ctx context.Context, srv *server, answer error) time.Duration {
	changed := false
	for i, k := range srv.nodes() {
		m, err := k.node.Memory(ctx)
		if err == nil && max(m.Available, p.memory[i])-min(m.Available, p.memory[i]) > memoryMoved {
			p.memory[i], changed = m.Available, true
		}
	}
	for _, k := range srv.started() {
		changed = k.log.grown() || changed
	}
	said := digits.ReplaceAllString(answer.Error(), "")
	if changed || said != p.answer {
		p.at, p.answer = time.Now(), said
	}
	return time.Since(p.at)
}
