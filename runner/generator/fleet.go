package generator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sparkrun/runner/record"
)

// Fleet is the workers of a generator, ready for one load after the other.
type Fleet struct {
	ranks  []*rank // by number
	events chan event
	clock  record.Clock
	stop   func(ctx context.Context) error // ends their processes, verified
	once   sync.Once
	ended  error
}

// Workers is how many there are.
func (f *Fleet) Workers() int { return len(f.ranks) }

// ErrLost is that a load can't be made, or not to its end, for want of workers.
var ErrLost = errors.New("worker lost")

// Whole reports whether all workers are there; the error says who is not, and why.
func (f *Fleet) Whole() error {
	for _, r := range f.ranks {
		if err := r.reason(); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrLost, r.name(len(f.ranks)), err)
		}
	}
	return nil
}

// name is how a worker is called in what people read.
func (r *rank) name(of int) string {
	return fmt.Sprintf("worker %d of %d (pid %d on %s)", r.Rank, of, r.Pid, r.Host)
}

// Close lets the workers go and ends their processes. It is idempotent.
func (f *Fleet) Close(ctx context.Context) error {
	f.once.Do(func() {
		for _, r := range f.ranks {
			r.lose(nil)
		}
		f.ended = f.stop(ctx)
		for _, r := range f.ranks {
			r.work.Wait()
		}
	})
	return f.ended
}

// newFleet makes a fleet of workers that have said hello, which must be ranks 0 to n-1.
func newFleet(clock record.Clock, arrived []arrival, stop func(ctx context.Context) error) *Fleet {
	f := &Fleet{clock: clock, stop: stop}
	f.events = make(chan event, 256)
	slices.SortFunc(arrived, func(a, b arrival) int { return a.Rank - b.Rank })
	for _, a := range arrived {
		f.ranks = append(f.ranks, newRank(a, clock, f.events))
	}
	return f
}

// arrival is a worker that has said who it is.
type arrival struct {
	hello
	*conn
	process process
}

// process is a worker's own, where this machine or a node of ours has started it; nil where
// a launcher has.
type process struct {
	ended <-chan struct{}
	why   func() error // how it ended, with what it said
	kill  func()
}

// check refuses one that can't be a worker of a fleet.
func (h *hello) check(version string, size int) error {
	switch {
	case h.Protocol != protocol || h.Version != version:
		return fmt.Errorf("the worker on %s is sparkrun %s (protocol %d), this is %s (protocol %d): use the same", h.Host, h.Version, h.Protocol, version, protocol)
	case size != 0 && h.Size != size:
		return fmt.Errorf("the worker on %s says that there are %d workers, another one that there are %d", h.Host, h.Size, size)
	case h.Rank < 0 || h.Rank >= h.Size || h.Size > mostWorkers:
		return fmt.Errorf("the worker on %s says that it is number %d of %d", h.Host, h.Rank, h.Size)
	}
	return nil
}

// mostWorkers bounds a fleet: beyond it something else than workers is counted.
const mostWorkers = 4096

// arriveWithin is how long all workers together may take to come: mpirun and ssh start
// their daemons first. A variable for tests.
var arriveWithin = time.Minute
