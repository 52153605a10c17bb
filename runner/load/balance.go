package load

import (
	"context"
	"errors"
	"sync"

	"sparkrun/runner/record"
)

// Client is a Doer with connections of its own: the wire client of a cell.
type Client interface {
	Doer
	Close() error
}

// RoundRobin is the balance in which each request goes to the next replica. With any other
// a conversation goes to the least busy one and stays there.
const RoundRobin = "round_robin"

// balancer spreads requests among the replicas of a server, as a router before them would.
// Of several engines that share a load each has its own and sees its own requests alone.
type balancer struct {
	clients []Client
	sticky  bool // a conversation stays where it began

	mu    sync.Mutex // taken twice a request
	busy  []int      // requests in flight, by replica
	homes map[int64]int
	next  int // where the search for the least busy one begins
}

// Balanced is one client for n replicas of a server, of each of which open makes one. The
// engines of a load begin with a replica each in turn, so that of the first requests of all
// of them no replica gets more than another.
func Balanced(n int, balance string, s Share, open func(replica int) (Client, error)) (Client, error) {
	b := &balancer{sticky: balance != RoundRobin, busy: make([]int, n), homes: map[int64]int{}, next: s.Rank % n}
	for replica := range n {
		c, err := open(replica)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.clients = append(b.clients, c)
	}
	if n == 1 {
		return b.clients[0], nil
	}
	return b, nil
}

// Do sends the request to a replica and writes down which.
func (b *balancer) Do(ctx context.Context, req *record.Request, rec *record.Record) {
	to := b.take(req)
	b.clients[to].Do(ctx, req, rec)
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
	for _, c := range b.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
