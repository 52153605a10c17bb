package generator

import (
	"context"
	"errors"

	"sparkrun/runner/load"
)

// Dealer is a source whose conversations can be given to other processes.
type Dealer interface {
	load.Source
	// Deal is conversation i as a worker's dataset understands it, or load.ErrExhausted.
	Deal(i int64) ([]byte, error)
}

// dealing gives the conversations of a source out, one after the other in its order, as
// sources of files are read: number k from the first on goes to rank k mod n. What a rank
// has not asked for yet waits.
type dealing struct {
	Dealer
	ranks []*rank
	first int64
	wants chan asked

	next    int64 // conversation
	credit  []int // conversations that a rank would take now
	waiting [][]frame
	end     *frame // what follows the last
	ended   []bool // the rank has been told
}

type asked struct{ rank, more int }

func newDealing(d Dealer, ranks []*rank, first int64) *dealing {
	n := len(ranks)
	return &dealing{
		Dealer: d, ranks: ranks, first: first, next: first, wants: make(chan asked, 64*n),
		credit: make([]int, n), waiting: make([][]frame, n), ended: make([]bool, n),
	}
}

// run deals until ctx ends.
func (d *dealing) run(ctx context.Context) {
	for {
		select {
		case a := <-d.wants:
			d.credit[a.rank] += a.more
		case <-ctx.Done():
			return
		}
		for rank := range d.ranks {
			d.serve(ctx, rank)
		}
	}
}

// serve gives a rank what it can take.
func (d *dealing) serve(ctx context.Context, rank int) {
	for d.credit[rank] > 0 && ctx.Err() == nil && d.ranks[rank].reason() == nil {
		switch {
		case len(d.waiting[rank]) > 0:
			d.ranks[rank].tell(d.waiting[rank][0])
			d.waiting[rank] = d.waiting[rank][1:]
			d.credit[rank]--
		case d.end == nil:
			d.draw()
		case d.ended[rank]:
			return
		default:
			d.ranks[rank].tell(*d.end)
			d.ended[rank] = true
		}
	}
}

// draw takes the next conversation from the source.
func (d *dealing) draw() {
	b, err := d.Deal(d.next)
	var f frame
	switch {
	case err == nil:
		f = deal(d.next, b)
	case errors.Is(err, load.ErrExhausted):
		f = deal(-1, nil)
	default:
		f = deal(-1, []byte(err.Error()))
	}
	if err != nil {
		d.end = &f
		return
	}
	to := int((d.next - d.first) % int64(len(d.ranks)))
	d.next++
	if d.ranks[to].reason() == nil {
		d.waiting[to] = append(d.waiting[to], f)
	}
}
