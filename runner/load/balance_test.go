package load

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"sparkrun/runner/record"
)

// heldDoer holds its requests until they are let go.
type heldDoer struct {
	let    chan struct{}
	status record.Status
	closed error
}

func (d *heldDoer) Do(_ context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	<-d.let
	rec.Status = d.status
}

func (d *heldDoer) Close() error { return d.closed }

// balanced is a balancer whose requests are begun and ended by hand.
type balanced struct {
	*balancer
	held []*heldDoer
	wait sync.WaitGroup
}

func newBalanced(n int, sticky bool) *balanced {
	b := &balanced{balancer: &balancer{sticky: sticky, busy: make([]int, n), homes: map[int64]int{}}}
	for range n {
		d := &heldDoer{let: make(chan struct{})}
		b.held, b.clients = append(b.held, d), append(b.clients, d)
	}
	return b
}

// begin sends a request and returns the replica that got it.
func (b *balanced) begin(conversation int64, last bool) int {
	before := b.inFlight()
	b.wait.Go(func() {
		var rec record.Record
		b.Do(context.Background(), &record.Request{Conversation: conversation, LastTurn: last}, &rec)
	})
	for {
		for i, n := range b.inFlight() {
			if n > before[i] {
				return i
			}
		}
		runtime.Gosched()
	}
}

// end ends a request of a replica and waits until its place is free.
func (b *balanced) end(replica int) {
	before := b.inFlight()[replica]
	b.held[replica].let <- struct{}{}
	for b.inFlight()[replica] == before {
		runtime.Gosched()
	}
}

func (b *balanced) inFlight() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.busy)
}

// TestLeastBusy: a conversation begins on the replica with the fewest requests in flight,
// those with equally many in turn, and stays there.
func TestLeastBusy(t *testing.T) {
	b := newBalanced(3, true)
	var got []int
	for c := range int64(3) {
		got = append(got, b.begin(c, false))
	}
	if !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("three conversations begin on %v", got)
	}
	b.end(1)
	if to := b.begin(3, false); to != 1 {
		t.Errorf("the fourth begins on %d, and 1 is free", to)
	}
	b.end(0)
	b.end(2)
	if to := b.begin(1, false); to != 1 {
		t.Errorf("the second turn of conversation 1 goes to %d, and its history is on 1", to)
	}
	b.end(1)
	b.end(1)
	if to := b.begin(3, true); to != 1 {
		t.Errorf("the last turn of conversation 3 goes to %d, not where it was", to)
	}
	b.end(1)
	b.wait.Wait()
	if _, kept := b.homes[3]; kept {
		t.Error("a conversation that has ended is remembered")
	}
	if len(b.homes) != 3 {
		t.Errorf("remembered are %v", b.homes)
	}
}

// TestAFailedLastTurnStays: it may be sent again, and should meet its prefix then.
func TestAFailedLastTurnStays(t *testing.T) {
	b := newBalanced(2, true)
	b.held[0].status = record.Reset
	b.begin(7, true)
	b.end(0)
	b.next = 1
	if to := b.begin(7, true); to != 0 {
		t.Errorf("sent again it goes to %d", to)
	}
	b.end(0)
	b.wait.Wait()
}

// TestRoundRobin: each request goes to the next replica, whoever is busy.
func TestRoundRobin(t *testing.T) {
	b := newBalanced(2, false)
	var got []int
	for range 5 {
		got = append(got, b.begin(1, false))
	}
	if !slices.Equal(got, []int{0, 1, 0, 1, 0}) {
		t.Errorf("five requests went to %v", got)
	}
	for _, to := range got {
		b.end(to)
	}
	b.wait.Wait()
}

// TestBalancedTogether: engines that share a load begin with different replicas; one replica
// needs no balance, and what one can't be opened for leaves none open.
func TestBalancedTogether(t *testing.T) {
	for rank, want := range []int{0, 1, 0} {
		c, err := Balanced(2, "least_busy", Share{rank, 3}, func(int) (Client, error) { return &heldDoer{}, nil })
		if err != nil {
			t.Fatal(err)
		}
		if to := c.(*balancer).take(&record.Request{}); to != want {
			t.Errorf("rank %d begins with replica %d", rank, to)
		}
	}
	only := &heldDoer{}
	if c, err := Balanced(1, "", Share{}, func(int) (Client, error) { return only, nil }); err != nil || c != Client(only) {
		t.Errorf("%v, %v", c, err)
	}
	no, left := errors.New("no"), errors.New("left")
	_, err := Balanced(2, "", Share{}, func(replica int) (Client, error) {
		if replica == 1 {
			return nil, no
		}
		return &heldDoer{closed: left}, nil
	})
	if !errors.Is(err, no) || !errors.Is(err, left) {
		t.Errorf("%v", err)
	}
}

// TestTheRowSaysTheReplica, and closing closes all.
func TestTheRowSaysTheReplica(t *testing.T) {
	b := newBalanced(2, false)
	var rec record.Record
	for want := range int32(2) {
		b.wait.Go(func() { b.Do(context.Background(), &record.Request{}, &rec) })
		b.held[want].let <- struct{}{}
		b.wait.Wait()
		if rec.Replica != want+1 {
			t.Errorf("the record says replica %d, from 1, want %d", rec.Replica, want+1)
		}
	}
	broken := errors.New("broken")
	b.held[1].closed = broken
	if err := b.Close(); !errors.Is(err, broken) {
		t.Errorf("closing: %v", err)
	}
}
