package runner

import (
	"context"
	"errors"
	"sync"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// balancer spreads requests among the replicas of a server, as a router before them would.
type balancer struct {
	doers  []Doer
	sticky bool // a conversation stays where it began

	mu    sync.Mutex // taken twice a request
	busy  []int      // requests in flight, by replica
	homes map[int64]int
	next  int // where the search for the least busy one begins
}

// doer is the wire client of a cell, for all replicas of its server.
func (r *run) doer(srv *server, c *plan.Cell) (Doer, error) {
	b := &balancer{sticky: srv.plan.Balance != "round_robin", homes: map[int64]int{}}
	for _, ep := range srv.endpoints {
		d, err := r.Tools.Doer(ep, c, r.Clock)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.doers = append(b.doers, d)
	}
	if len(b.doers) == 1 {
		return b.doers[0], nil
	}
	b.busy = make([]int, len(b.doers))
	return b, nil
}

// Do sends the request to a replica and writes down which.
func (b *balancer) Do(ctx context.Context, req *record.Request, rec *record.Record) {
	to := b.take(req)
	b.doers[to].Do(ctx, req, rec)
	rec.Replica = int32(to) + 1
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy[to]--
	if req.LastTurn && rec.Status == record.OK {
		delete(b.homes, req.Conversation) // a failed one may be sent again
	}
}

// take chooses the replica of a request. Sticky: that of the conversation, where the
// prefix cache has its history, and for its first request the one with the fewest
// requests in flight. Else the next one.
func (b *balancer) take(req *record.Request) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	to, known := b.homes[req.Conversation]
	if !known {
		to = b.next
		for i := range b.busy {
			if at := (b.next + i) % len(b.busy); b.sticky && b.busy[at] < b.busy[to] {
				to = at
			}
		}
		b.next = (to + 1) % len(b.busy)
	}
	if b.sticky {
		b.homes[req.Conversation] = to
	}
	b.busy[to]++
	return to
}

// Close closes the clients of all replicas.
func (b *balancer) Close() error {
	var errs []error
	for _, d := range b.doers {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
