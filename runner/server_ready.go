package runner

import (
	"context"
	"errors"
	"fmt"
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

// ready asks until the server has generated a token, its program ends, it makes no
// progress, or time is up.
func (r *run) ready(ctx context.Context, srv *server) (model string, err error) {
	deadline, stall := srv.readyTimes()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(deadline, func() { cancel(errNotReady) })
	defer timer.Stop()
	watched := make(chan error, 1)
	if srv.proc != nil {
		go func() {
			err := r.watch(ctx, srv, exited)
			if err != nil {
				cancel(err)
			}
			watched <- err
		}()
		defer func() { cancel(nil); <-watched }()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	begun, progress := time.Now(), progressOf(srv)
	var last error // that a question ended with, other than by our own doing
	for {
		model, err = srv.framework.Ready(ctx, client, srv.endpoint)
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
			return "", &Error{code, fmt.Errorf("%s: %w", waiting(srv), err)}
		}
		poll := readyPoll
		if time.Since(begun) > slowPollFrom {
			poll = slowPoll
		}
		select {
		case <-ctx.Done():
			return "", notReady(ctx, srv, last, deadline, stall)
		case <-time.After(poll):
		}
		if srv.proc != nil && progress.since(ctx, srv, err) > stall {
			cancel(errStalled)
		}
	}
}

func waiting(srv *server) string {
	return fmt.Sprintf("wait for %s at %s", srv.plan.Address, srv.endpoint.URL)
}

// notReady is why the wait for a server ended, with what to do.
func notReady(ctx context.Context, srv *server, last error, deadline, stall time.Duration) error {
	cause, what := context.Cause(ctx), waiting(srv)
	var known *Error
	switch {
	case errors.As(cause, &known):
		return known
	case errors.Is(cause, errInterrupted):
		return errInterrupted
	case srv.proc == nil:
		return &Error{ReadyUnreachable, fmt.Errorf("%s: %w: is it running, and is the url right?", what, last)}
	case errors.Is(cause, errStalled):
		return fail(ReadyStalled, "%s: no progress for %s (ready { stall }): no new output, and the memory did not move: %v; %s", what, stall, last, srv.log.died())
	}
	return fail(ReadyTimeout, "%s: not ready after %s (ready { deadline }): %v; %s", what, deadline, last, srv.log.died())
}

// watch ends with an error when the server's program ends, or its node runs out of memory
// and the server had to be stopped.
func (r *run) watch(ctx context.Context, srv *server, ended func(*server) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	low := make(chan error, 1)
	go func() { low <- r.watchMemory(ctx, srv) }()
	select {
	case err := <-low:
		if err != nil {
			_, stopErr := srv.proc.Stop(r.Control.cleanup, 0)
			err = errors.Join(err, stopErr)
		}
		return err
	case <-srv.proc.Done():
		cancel()
		<-low
		return ended(srv)
	case <-ctx.Done():
		<-low
		return nil
	}
}

// exited is the error of a server whose program has ended before it was ready.
func exited(srv *server) error {
	<-srv.proc.Logged()
	code := LaunchExited
	switch {
	case errors.Is(srv.proc.Err(), targets.ErrNoEngine):
		code = HostDocker
	case errors.Is(srv.proc.Err(), targets.ErrOutOfMemory), srv.log.diagnose().memory:
		code = LaunchOutOfMemory
	}
	return fail(code, "%s: its program ended (%v) before it was ready: %s", waiting(srv), srv.proc.Err(), srv.log.died())
}

// died is the error of a server whose program has ended while it was measured.
func died(srv *server) error {
	<-srv.proc.Logged()
	code := MeasureServerDied
	if errors.Is(srv.proc.Err(), targets.ErrNoEngine) {
		code = HostDocker
	}
	return fail(code, "%s ended (%v) while it was measured: %s", srv.plan.Address, srv.proc.Err(), srv.log.died())
}

// progress is what a server that is not ready yet had come to, and when.
type progress struct {
	at     time.Time
	answer string // what Ready said
	memory uint64 // available on the node
}

func progressOf(srv *server) *progress {
	return &progress{at: time.Now(), memory: srv.before.Available}
}

// digits change from answer to answer without meaning: the ports of our connections.
var digits = regexp.MustCompile(`\d+`)

// since is how long nothing has changed.
func (p *progress) since(ctx context.Context, srv *server, answer error) time.Duration {
	m, err := srv.node.Memory(ctx)
	moved := err == nil && max(m.Available, p.memory)-min(m.Available, p.memory) > memoryMoved
	said := digits.ReplaceAllString(answer.Error(), "")
	if grown := srv.log.grown(); grown || moved || said != p.answer {
		p.at, p.answer = time.Now(), said
		if moved {
			p.memory = m.Available
		}
	}
	return time.Since(p.at)
}
