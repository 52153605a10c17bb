package load

import (
	"container/heap"
	"fmt"
	"math"
	"strconv"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// resize makes as many slots as the curve says; a shrinking curve takes free ones away.
func (e *engine) resize(p *plan.Phase, start, now int64) (next int64) {
	total := p.Duration
	if total == 0 {
		total = p.MaxDuration
	}
	level := int(math.Round(p.Concurrency.At(time.Duration(now-start), total)))
	level = max(level, 1)
	mine := int(e.Share.of(int64(level)))
	for len(e.slots)+e.inFlight < mine {
		heap.Push(&e.slots, slot{now, e.worker()})
	}
	for len(e.slots) > 0 && len(e.slots)+e.inFlight > mine {
		last := len(e.slots) - 1
		e.spare = append(e.spare, e.slots[last].worker)
		e.slots = e.slots[:last]
	}
	if c := p.Concurrency; level != int(math.Round(c.To)) && total > 0 {
		// Half way to the next level, where rounding turns.
		half := float64(level) + math.Copysign(0.5, c.To-c.From)
		return start + int64((half-c.From)/(c.To-c.From)*float64(total)) + 1
	}
	return math.MaxInt64
}

// worker is a number that no slot has.
func (e *engine) worker() int32 {
	if n := len(e.spare); n > 0 {
		w := e.spare[n-1]
		e.spare = e.spare[:n-1]
		return w
	}
	e.workers++
	return e.workers - 1
}

// closedLoop sends where a slot is free and a conversation can go on.
func (e *engine) closedLoop(p *plan.Phase, start, now, horizon, wake int64) (moved bool, _ int64) {
	wake = min(wake, e.resize(p, start, now))
	if len(e.slots) == 0 {
		return false, wake
	}
	if free := e.slots[0].free; free > horizon {
		return false, min(wake, e.ahead(free, now))
	}
	e.ripen(horizon)
	d := e.pick(p, e.Share.atLeastOne(e.Conversations.Active))
	if d == nil {
		return false, wake
	}
	s := heap.Pop(&e.slots).(slot)
	e.send(d, s.worker, max(s.free, d.at, start))
	return true, wake
}

// pacer is when the requests of an open-loop phase leave.
func (e *engine) pacer(p *plan.Phase) Pacer {
	if !p.Replay {
		return Arrivals(p, e.current, e.Seed, e.Share)
	}
	trace, ok := e.Source.(Timed)
	if !ok {
		e.err = fmt.Errorf("phase %s replays a dataset that has no times", p.Name)
		return tracePacer{arrival: func(int64) (time.Duration, bool) { return 0, false }}
	}
	return tracePacer{trace.Arrival, e.taken, p.Speed}
}

// openLoop sends what has arrived.
func (e *engine) openLoop(p *plan.Phase, pacer Pacer, arrival *int64, start, now, horizon, wake int64) (moved bool, _ int64) {
	if p.RateOf == "conversations" && !p.FirstTurnOnly {
		if e.ripen(horizon); len(e.ready) > 0 {
			d := e.ready[0]
			e.ready = e.ready[1:]
			e.send(d, -1, d.at)
			return true, wake
		}
	}
	at, ok := pacer.Next(time.Duration(now-start), *arrival)
	if !ok {
		return false, wake
	}
	due := start + int64(at)
	if due > horizon {
		return false, min(wake, e.ahead(due, now))
	}
	full := p.MaxInFlight > 0 && int64(e.inFlight) >= p.MaxInFlight
	if full && due > now {
		return false, min(wake, due) // until then one may end
	}
	e.ripen(due)
	var d *dialogue
	switch {
	case p.Replay: // arrival n is the dataset's n-th conversation, sent or not
		d = e.begin(p)
	case full:
	case p.RateOf == "conversations":
		d = e.begin(p)
	default:
		d = e.pick(p, e.Share.atLeastOne(e.Conversations.Active))
	}
	switch {
	case full:
		if d != nil {
			e.open_--
		}
		e.unsent(d, due, "max_concurrency requests were in flight when it was due")
	case d != nil:
		e.send(d, -1, due)
	case e.canBegin(p) && due > now:
		return false, min(wake, due)
	case e.canBegin(p):
		e.unsent(nil, due, "all active conversations waited for their answers when it was due")
	default:
		return false, wake
	}
	*arrival++
	return true, wake
}

// overdueFor is how long after the end of its phase an arrival is still sent that was due in it.
// A client that is further behind would go on for as long as it is behind, into the next phase.
const overdueFor = time.Second

// tooLate has the next arrival of a phase as unsent; false where no conversation is left for it.
func (e *engine) tooLate(p *plan.Phase, pacer Pacer, arrival *int64, start int64) bool {
	if !e.canBegin(p) {
		return false
	}
	var d *dialogue
	if p.Replay { // arrival n is the dataset's n-th conversation
		if d = e.begin(p); d == nil {
			return false
		}
		e.open_--
	}
	at, _ := pacer.Next(0, *arrival)
	e.unsent(d, start+int64(at), fmt.Sprintf("the client was so far behind that its phase had ended %v before its turn came", overdueFor))
	*arrival++
	return true
}

// idle reports whether a phase has nothing to send now and never will.
func (e *engine) idle(pacer Pacer, arrival int64) bool {
	p := &e.Phases[e.current]
	if e.inFlight > 0 || (!p.FirstTurnOnly && e.waiting.Len()+len(e.ready) > 0) {
		return false
	}
	if !e.canBegin(p) {
		return true
	}
	if pacer != nil {
		_, more := pacer.Next(0, arrival)
		return !more && p.Duration == 0
	}
	return false
}

// unsent records an arrival that could not be sent, of conversation d if it is known.
func (e *engine) unsent(d *dialogue, due int64, why string) {
	e.sequence++
	e.sent++
	e.Live.Failed.Add(1)
	r := record.Request{Conversation: -1, DatasetRow: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1}
	if d != nil {
		r = d.next
		r.Conversation = d.index
	}
	r.ID = e.IDPrefix + strconv.FormatInt(e.sequence, 10)
	r.Phase, r.Worker, r.Scheduled = e.current, -1, due
	var rec record.Record
	rec.Start(&r)
	rec.Status, rec.Error = record.Unsent, "not sent: "+why
	e.Recorder.Record(&rec)
}
