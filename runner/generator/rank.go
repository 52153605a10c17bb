package generator

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sparkrun/runner/record"
)

// event is something that a rank said, or with kind 0 that it is gone.
type event struct {
	*rank
	frame
}

// rank is a worker as the run has it: a goroutine reads what it says, one writes what it is
// told and one watches, so that a frozen one holds nobody up.
type rank struct {
	hello
	*conn
	clock   record.Clock
	process process
	events  chan<- event
	out     chan frame
	gone    chan struct{} // closed when it is lost or let go
	quiet   chan struct{} // closed when it is no longer read
	handed  atomic.Int64  // frames that became events
	work    sync.WaitGroup

	mu     sync.Mutex
	offset offset
	pings  [64]int64 // when each was sent, by number
	number int64     // of the next ping
	heard  int64     // when it last said something
	burst  int       // pings that follow each other at once
	calm   chan struct{}
	lost   error // why it is gone
}

// control is how many messages may wait for a rank to take them: more than a job has.
const control = 1024

func newRank(a arrival, clock record.Clock, events chan<- event) *rank {
	r := &rank{hello: a.hello, conn: a.conn, clock: clock, process: a.process, events: events, out: make(chan frame, control), gone: make(chan struct{}), quiet: make(chan struct{}), heard: clock.Now()}
	r.work.Go(r.read)
	r.work.Go(r.write)
	r.work.Go(r.watch)
	return r
}

// tell sends a frame once those before it are sent.
func (r *rank) tell(f frame) {
	select {
	case r.out <- f:
	case <-r.gone:
	default:
		r.lose(errors.New("it does not take what it is told"))
	}
}

// lose gives a rank up: its stream is closed and its process killed. Only the first reason
// counts; nil is its end in peace.
func (r *rank) lose(why error) {
	r.mu.Lock()
	first := r.lost == nil
	if first {
		if r.lost = why; why == nil {
			r.lost = errLetGo
		}
		close(r.gone)
	}
	r.mu.Unlock()
	if !first {
		return
	}
	if r.process.kill != nil {
		r.process.kill()
	}
	r.Close()
	select {
	case r.events <- event{rank: r}: // to wake who waits; reason says it
	default:
	}
}

// isQuiet reports whether nothing more will be read.
func (r *rank) isQuiet() bool {
	select {
	case <-r.quiet:
		return true
	default:
		return false
	}
}

var errLetGo = errors.New("it was let go")

// reason is why a rank is gone, nil for one that is there.
func (r *rank) reason() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

func (r *rank) read() {
	defer close(r.quiet)
	for {
		f, err := readFrame(r.in, maxFrame)
		at := r.clock.Now()
		if err == nil {
			err = r.take(f, at)
		}
		// A killed worker's connection is reset where something was on its way to it.
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET) {
			err = r.fate()
		}
		if err != nil {
			r.lose(err)
			return
		}
	}
}

// fateTime is how long it may take to be known how a process ended whose stream has.
const fateTime = time.Second

// fate is why the stream ended.
func (r *rank) fate() error {
	if r.process.ended != nil {
		select {
		case <-r.process.ended:
			if err := r.process.why(); err != nil {
				return fmt.Errorf("its process ended: %w", err)
			}
			return errors.New("its process ended")
		case <-r.gone:
		case <-time.After(fateTime):
		}
	}
	return errors.New("its connection ended")
}

// take deals with pongs and hands the rest on.
func (r *rank) take(f frame, at int64) error {
	r.mu.Lock()
	r.heard = at
	r.mu.Unlock()
	if f.kind == kindPong {
		return r.pong(f, at)
	}
	if f.kind < kindReady {
		return fmt.Errorf("what came is not the protocol: kind %q is not from a worker", f.kind)
	}
	select {
	case r.events <- event{rank: r, frame: f}:
		r.handed.Add(1)
	case <-r.gone:
	}
	return nil
}

func (r *rank) pong(f frame, at int64) error {
	n, _, err := readNumbers(f, 2)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n[0] < 0 || n[0] >= r.number || n[0] < r.number-int64(len(r.pings)) {
		return errors.New("what came is not the protocol: a pong to no ping")
	}
	r.offset.add(probe{r.pings[n[0]%int64(len(r.pings))], n[1], at})
	if r.burst > 0 {
		if r.burst--; r.burst == 0 {
			close(r.calm)
		} else {
			select {
			case r.out <- frame{kind: kindPing}:
			default:
			}
		}
	}
	return nil
}

// write sends what is in the queue and a ping now and then.
func (r *rank) write() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		var f frame
		select {
		case <-r.gone:
			return
		case f = <-r.out:
		case <-tick.C:
			f = frame{kind: kindPing}
		}
		var err error
		if f.kind == kindPing {
			err = r.stamped(r.ping)
		} else {
			err = r.send(f)
		}
		if err != nil {
			r.lose(r.fate())
			return
		}
	}
}

// watch gives the rank up when nothing has been heard of it for too long. Who writes to it
// can't: a frozen worker lets a write wait for ever.
func (r *rank) watch() {
	tick := time.NewTicker(lostAfter / 10)
	defer tick.Stop()
	for {
		select {
		case <-r.gone:
			return
		case <-tick.C:
			r.mu.Lock()
			silent := time.Duration(r.clock.Now() - r.heard)
			r.mu.Unlock()
			if silent > lostAfter {
				r.lose(fmt.Errorf("nothing was heard of it for %s", silent.Round(100*time.Millisecond)))
				return
			}
		}
	}
}

// ping is a ping that goes out now.
func (r *rank) ping() frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.number
	r.number++
	r.pings[n%int64(len(r.pings))] = r.clock.Now()
	return numbers(kindPing, n)
}

// probes is how many pings in a row measure a clock, and how long they may take.
const (
	probes    = 64
	probeTime = 2 * time.Second
)

// measure sends a burst of pings; the channel is closed when all are answered.
func (r *rank) measure() <-chan struct{} {
	r.mu.Lock()
	r.burst, r.calm = probes, make(chan struct{})
	calm := r.calm
	r.mu.Unlock()
	r.tell(frame{kind: kindPing})
	return calm
}

// ahead is how far our clock is ahead of the rank's, and what that may be wrong by, in ns.
func (r *rank) ahead() (ns, within int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offset.best()
}
