package load

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// dialogue is a conversation being played, with its next request made.
//
//	opened → open      begin
//	open → in flight   send
//	in flight → ready  its next turn may go at once
//	in flight → waiting  it thinks first
//	in flight → parked   its first turn is done, and the phase sends no others
//	in flight → over   its last turn has ended, or one has failed
//	parked → open      begin, in a later phase
type dialogue struct {
	conv  Conversation
	index int64
	turn  int64 // the one that next is
	next  record.Request
	at    int64 // when its next turn may be sent
}

// open makes conversations and their first requests until nobody wants more.
func (e *engine) open(ctx context.Context) {
	defer close(e.opened)
	staggered := e.staggered()
	for i := e.First + int64(e.Share.Rank); ; i += e.Share.size() {
		d, err := e.make(i, i-e.First < staggered)
		if err != nil {
			e.openErr = err
			return
		}
		if d == nil {
			continue
		}
		select {
		case e.opened <- d:
		case <-ctx.Done():
			return
		}
	}
}

// make opens conversation i, nil where it has no turn. A staggered one begins at a random
// turn, with the dataset's answers as its history.
func (e *engine) make(i int64, staggered bool) (*dialogue, error) {
	conv, err := e.Source.Open(i)
	if err != nil {
		return nil, err
	}
	d := &dialogue{conv: conv, index: i}
	if turns := e.turns(d); staggered && turns > 1 {
		d.turn = rand.New(rand.NewPCG(e.Seed, uint64(i))).Int64N(turns)
	}
	for range d.turn + 1 {
		if ok, err := conv.Next(nil, &d.next); !ok || err != nil {
			return nil, err
		}
	}
	return d, nil
}

// staggered is how many conversations begin at a random turn: as many as are open
// together, so that what replaces them comes evenly from the start on.
func (e *engine) staggered() int64 {
	if e.Conversations.Start != "staggered" {
		return 0
	}
	n := e.Conversations.Active
	for i := range e.Phases {
		p := &e.Phases[i]
		if p.FirstTurnOnly {
			return 0
		}
		if c := p.Concurrency; c != nil {
			n = max(n, int64(c.From), int64(c.To))
		}
	}
	return n
}

// ripen makes the conversations ready whose next turn may be sent at a time.
func (e *engine) ripen(at int64) {
	for e.waiting.Len() > 0 && e.waiting[0].at <= at {
		e.ready = append(e.ready, heap.Pop(&e.waiting).(*dialogue))
	}
}

// pick takes the conversation whose turn is next: among the open ones once there are as
// many as wanted, else a new one. With want 0 open ones go first.
func (e *engine) pick(p *plan.Phase, want int64) *dialogue {
	if p.FirstTurnOnly {
		return e.begin(p)
	}
	if e.open_ < want {
		if d := e.begin(p); d != nil {
			return d
		}
	}
	if n := len(e.ready); n > 0 {
		i := 0
		if e.Conversations.Sampling == "random" {
			i = e.rand.IntN(n)
		}
		d := e.ready[i]
		e.ready = slices.Delete(e.ready, i, i+1)
		return d
	}
	if want > 0 && e.open_ >= want {
		return nil
	}
	return e.begin(p)
}

// canBegin reports whether begin may find a conversation.
func (e *engine) canBegin(p *plan.Phase) bool {
	if p.Conversations > 0 && e.started >= e.Share.Quota(p, p.Conversations) {
		return false
	}
	return !e.exhausted || (len(e.parked) > 0 && !p.FirstTurnOnly)
}

// begin takes a parked or a new conversation, nil where there is none or no more may begin.
func (e *engine) begin(p *plan.Phase) *dialogue {
	if !e.canBegin(p) {
		return nil
	}
	var d *dialogue
	if len(e.parked) > 0 && !p.FirstTurnOnly {
		d, e.parked = e.parked[0], e.parked[1:]
	} else if d = e.fresh(); d == nil {
		return nil
	}
	e.open_++
	e.started++
	return d
}

// fresh takes the next conversation of the dataset, nil where it has no more.
func (e *engine) fresh() *dialogue {
	d, ok := <-e.opened
	if ok {
		e.taken = d.index + 1
		return d
	}
	e.exhausted = true
	switch {
	case errors.Is(e.openErr, ErrExhausted):
		e.outcome.Exhausted = true
	case e.openErr != nil:
		e.err = e.openErr
	}
	return nil
}

// turns is how many user turns of a conversation are played.
func (e *engine) turns(d *dialogue) int64 {
	n := int64(d.conv.Turns())
	if m := e.Conversations.MaxTurns; m > 0 {
		n = min(n, m)
	}
	return n
}

// prepare makes the next request of an answered one's conversation. It runs in the
// request's goroutine, so that a long history does not hold up the engine.
func (e *engine) prepare(j *job) {
	if j.rec.Status != record.OK || j.req.LastTurn {
		return
	}
	next := record.Request{}
	j.more, j.err = j.d.conv.Next(&j.rec, &next)
	j.d.next = next
}

// follow puts the conversation of an ended request where its next turn is found, or ends it.
func (e *engine) follow(j *job, at int64) {
	d, p := j.d, &e.Phases[e.current]
	d.turn++
	d.at = at
	switch {
	case j.err != nil:
		e.err = j.err
	case j.more && e.Phases[j.phase].FirstTurnOnly:
		e.open_--
		e.parked = append(e.parked, d)
		return
	case j.more && at <= e.Clock.Now():
		e.ready = append(e.ready, d)
		return
	case j.more:
		heap.Push(&e.waiting, d)
		return
	case j.rec.Status != record.OK && j.rec.Status != record.Cancelled:
		e.skip(j, e.turns(d)-d.turn)
	}
	e.open_--
	if p.EarlyStop && j.phase == e.current && !e.replace(p) {
		e.early = true
	}
}

// replace begins the conversation that takes an ended one's place; false where there is none.
func (e *engine) replace(p *plan.Phase) bool {
	d := e.begin(p)
	if d != nil {
		e.ready = slices.Insert(e.ready, 0, d)
	}
	return d != nil
}

// skip records the turns that a failed one takes with it.
func (e *engine) skip(j *job, left int64) {
	for n := range left {
		e.sequence++
		r := j.req
		r.ID = e.IDPrefix + strconv.FormatInt(e.sequence, 10)
		r.Turn += int32(n) + 1
		r.LastTurn = n == left-1
		r.HistoryTokens, r.AskedMin, r.AskedMax = -1, -1, -1
		r.Scheduled = j.rec.StreamEnd
		var rec record.Record
		rec.Start(&r)
		rec.Status, rec.Error = record.Skipped, "not sent: turn "+strconv.Itoa(int(j.req.Turn))+" of its conversation failed"
		e.Recorder.Record(&rec)
	}
}
