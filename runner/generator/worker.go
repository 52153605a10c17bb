package generator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"sparkrun/runner/dataset"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// Worker is what a worker has of its process.
type Worker struct {
	Lookup  func(name string) (string, bool) // the environment
	Stdin   io.ReadCloser
	Stdout  io.WriteCloser
	Version string // of the program
	Doer    func(ep targets.Endpoint, c *plan.Cell, clock record.Clock) (load.Client, error)
	Forced  func(framework string, least, most int) map[string]any // fields for an exact length
}

// orphanedAfter is how long a worker goes on without a word from its run: a frozen network
// does not end a stream.
const orphanedAfter = 30 * time.Second

// Serve does jobs until the stream of the run that started this worker ends, which is no
// error, or ctx does.
func (w *Worker) Serve(ctx context.Context) error {
	rank, size, err := rankOf(w.Lookup)
	if err != nil {
		return err
	}
	host, _ := os.Hostname() // "" is as good
	h := hello{Protocol: protocol, Version: w.Version, Rank: rank, Size: size, Host: host, Pid: os.Getpid()}
	c := newConn(streams{w.Stdin, w.Stdout})
	if way, set := w.Lookup(dialVariable); set {
		if c, h.Token, err = connectBack(ctx, way); err != nil {
			return fmt.Errorf("worker %d: %w", rank, err)
		}
	}
	defer c.Close()
	if _, err := io.WriteString(c, greeting); err != nil {
		return fmt.Errorf("worker %d: greet the run: %w", rank, err)
	}
	if err := c.send(message(kindHello, h)); err != nil {
		return fmt.Errorf("worker %d: greet the run: %w", rank, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &serving{Worker: w, conn: c, clock: record.NewClock(), ctx: ctx}
	ended := make(chan error, 1)
	// A read of standard input can't be cut short: it is left behind where the process ends.
	go func() { ended <- s.read(cancel) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	cancel(nil)
	c.Close()
	s.wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// cutTime is how long the requests under way may take to be cut.
const cutTime = 2 * time.Second

// wait waits for the job under way.
func (s *serving) wait() {
	over := make(chan struct{})
	go func() { s.jobs.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(cutTime): // it waits for a stream that nobody reads
	}
}

// serving is a worker at work. The goroutine that reads never waits for a job.
type serving struct {
	*Worker
	*conn
	clock record.Clock
	ctx   context.Context
	jobs  sync.WaitGroup
	job   *working // the last one, nil before the first
}

// working is a job under way.
type working struct {
	*job
	ctx    context.Context
	cut    context.CancelFunc
	dealt  chan frame // conversations, as many as were asked for at most
	starts chan int64
	ends   chan int
	stop   chan struct{}
	once   sync.Once // closes stop
	live   load.Live
}

// read takes what the run says until its end.
func (s *serving) read(cancel context.CancelCauseFunc) error {
	orphaned := time.AfterFunc(orphanedAfter, func() { cancel(fmt.Errorf("nothing was heard of the run for %s", orphanedAfter)) })
	defer orphaned.Stop()
	for {
		f, err := readFrame(s.in, maxFrame)
		at := s.clock.Now()
		if err != nil {
			return err
		}
		orphaned.Reset(orphanedAfter)
		if err := s.take(f, at); err != nil {
			return err
		}
	}
}

var errTooMuch = errors.New("what came is not the protocol: more than was asked for")

// take does what a frame says.
func (s *serving) take(f frame, at int64) error {
	if j := s.job; j == nil && f.kind != kindPing && f.kind != kindJob {
		return errors.New("what came is not the protocol: there is no job")
	}
	switch f.kind {
	case kindPing:
		n, _, err := readNumbers(f, 1)
		if err != nil {
			return err
		}
		return s.send(numbers(kindPong, n[0], at))
	case kindJob:
		j, err := readJob(f.payload)
		if err != nil {
			return err
		}
		s.jobs.Wait() // it was done, or the run would not send another
		s.begin(j)
	case kindDeal:
		return offer(s.job.dealt, f)
	case kindStart:
		m, err := read[start](f)
		if err != nil {
			return err
		}
		return offer(s.job.starts, m.At)
	case kindEnd:
		m, err := read[end](f)
		if err != nil {
			return err
		}
		return offer(s.job.ends, m.Phase)
	case kindStop:
		m, err := read[stop](f)
		if err != nil {
			return err
		}
		s.job.once.Do(func() { close(s.job.stop) })
		if m.Cut {
			s.job.cut()
		}
	default:
		return fmt.Errorf("what came is not the protocol: kind %q is not for a worker", f.kind)
	}
	return nil
}

// offer puts into a channel that has room for all that may come.
func offer[T any](into chan T, x T) error {
	select {
	case into <- x:
		return nil
	default:
		return errTooMuch
	}
}

// begin starts a job.
func (s *serving) begin(j *job) {
	w := &working{
		job: j, dealt: make(chan frame, window+1), stop: make(chan struct{}),
		starts: make(chan int64, len(j.Phases)), ends: make(chan int, len(j.Phases)),
	}
	w.ctx, w.cut = context.WithCancel(s.ctx)
	s.job = w
	s.jobs.Go(func() {
		defer w.cut()
		out, err := s.run(w)
		m := done{Outcome: out}
		if err != nil {
			m.Error = err.Error()
		}
		_ = s.send(message(kindDone, m)) // where it can't be sent, reading ends
	})
}

// liveEvery is how often the counters for the screen go out.
const liveEvery = 250 * time.Millisecond

// run is a job from its first conversation to its last record.
func (s *serving) run(w *working) (load.Outcome, error) {
	cell := w.cell()
	doer, err := load.Balanced(len(w.URLs), w.Balance, w.Share, func(replica int) (load.Client, error) {
		return s.Doer(w.endpoint(replica), cell, s.clock)
	})
	if err != nil {
		return load.Outcome{}, err
	}
	defer doer.Close()
	hand := newHand(s, w)
	source := dataset.OpenDealt(dataset.Options{
		Cell: cell, Model: w.Model,
		Forced: func(least, most int) map[string]any { return s.Forced(w.Framework, least, most) },
	}, hand.next)
	rows := newRows(s.conn)
	ticking := make(chan struct{})
	var ticker sync.WaitGroup
	ticker.Go(func() { s.tell(w, ticking) })
	out, err := load.Run(w.ctx, load.Config{
		Phases: w.Phases, Conversations: w.Conversations, Request: w.Request, KeepAnswers: w.KeepAnswers,
		Seed: w.Seed, First: w.First, Source: source, Doer: doer, Recorder: rows, Clock: s.clock, Lead: load.Lead,
		Live: &w.live, Stop: w.stop, IDPrefix: w.IDPrefix, Share: w.Share,
		Gate: &load.Gate{
			Starts: w.starts, Ends: w.ends, Ended: hand.close,
			Over: func(p load.PhaseOutcome) {
				if s.ctx.Err() != nil {
					return // this worker is being ended, its part of the phase is not done
				}
				_ = s.send(message(kindOver, over{int(w.live.Phase.Load()), p}))
			},
		},
	})
	close(ticking)
	ticker.Wait()
	rows.close()
	return out, err
}

// tell sends the counters until the job is over.
func (s *serving) tell(w *working, ended <-chan struct{}) {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			l := &w.live
			m := live{l.InFlight.Load(), l.Sent.Load(), l.OK.Load(), l.Failed.Load(), l.Tokens.Load(), l.TTFTSum.Load()}
			_ = s.send(message(kindLive, m))
		}
	}
}
