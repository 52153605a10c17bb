package load

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
)

// ErrExhausted is what a Source returns from the first index that it does not have.
var ErrExhausted = errors.New("the dataset has no more conversations")

// Run puts a cell's load on its server and returns when every request has ended. The
// error is the dataset's; what goes wrong with requests is in their records. When ctx
// ends, requests in flight are cut.
//
// The caller's goroutine owns all state: which slots are free, which conversations are
// open, what has been sent. A request runs in a goroutine of its own and reports on one
// channel; conversations are opened ahead by another goroutine, so that making a prompt
// does not delay a send.
func Run(ctx context.Context, cfg Config) (Outcome, error) {
	if cfg.Live == nil {
		cfg.Live = &Live{}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e := &engine{
		Config: cfg, ctx: ctx,
		rand:   rand.New(rand.NewPCG(cfg.Seed, 0x6c6f6164)), // "load"
		opened: make(chan *dialogue, openAhead),
		ended:  make(chan *job),
	}
	e.requests, e.cut = context.WithCancel(ctx)
	defer func() { e.cut() }()
	opening, stopOpening := context.WithCancel(ctx)
	var opener sync.WaitGroup
	opener.Go(func() { e.open(opening) })
	defer opener.Wait()
	defer stopOpening()

	for i := range cfg.Phases {
		if !e.phase(i) {
			break
		}
	}
	e.drain(e.drainTime())
	return e.outcome, e.err
}

// openAhead is how many conversations are ready before they are needed.
const openAhead = 64

// defaultDrain is how long requests may finish after the last phase.
const defaultDrain = 30 * time.Second

type engine struct {
	Config
	ctx context.Context
	// requests is what those in flight run on; cut ends them, not the cell.
	requests context.Context
	cut      context.CancelFunc
	rand     *rand.Rand
	outcome  Outcome
	err      error

	opened    chan *dialogue
	openErr   error // set before opened is closed
	exhausted bool

	current  int // phase
	think    *dist.Sampler
	slots    slotHeap // closed loop: free slots by when they became free
	ready    []*dialogue
	waiting  dialogueHeap // think before their next turn
	open_    int64        // conversations begun and not ended
	started  int64        // in this phase
	sent     int64        // in this phase, unsent and skipped ones included
	finished int64        // sent in this phase and ended

	ended    chan *job
	inFlight int
	sequence int64
	recent   []bool // failed, of the last requests, for the abort rule
}

// dialogue is a conversation being played, with its next request made.
type dialogue struct {
	conv  Conversation
	index int64
	turn  int64
	next  record.Request
	at    int64 // when its next turn may be sent
}

// job is a request under way.
type job struct {
	d     *dialogue
	req   record.Request
	rec   record.Record
	phase int
}

// open makes conversations and their first requests until nobody wants more.
func (e *engine) open(ctx context.Context) {
	defer close(e.opened)
	for i := int64(0); ; i++ {
		conv, err := e.Source.Open(i)
		d := &dialogue{conv: conv, index: i}
		if err == nil {
			var ok bool
			if ok, err = conv.Next(nil, &d.next); err == nil && !ok {
				continue
			}
		}
		if err != nil {
			e.openErr = err
			return
		}
		select {
		case e.opened <- d:
		case <-ctx.Done():
			return
		}
	}
}

// phase runs one phase and reports whether the cell goes on.
func (e *engine) phase(i int) bool {
	p := &e.Phases[i]
	var err error
	if e.think, err = dist.New(p.ThinkTime); err != nil {
		e.err = fmt.Errorf("think time of phase %s: %w", p.Name, err)
		return false
	}
	e.current, e.started, e.sent, e.finished = i, 0, 0, 0
	e.Live.Phase.Store(int32(i))
	if e.OnPhase != nil {
		e.OnPhase(i)
	}
	start := e.Clock.Now()
	out := PhaseOutcome{Name: p.Name, Measure: p.Measure, Start: start}
	var pacer Pacer
	if p.Rate != nil {
		e.slots = nil
		pacer = newPacer(p, e.Seed+uint64(i))
	} else {
		e.resize(p, start, start)
	}
	arrival := int64(0)
	goOn := true
	for {
		now := e.Clock.Now()
		if e.over(p, start, now) {
			break
		}
		if e.stopped() || e.outcome.Aborted != "" || e.err != nil {
			goOn = false
			break
		}
		wake := e.deadline(p, start, now)
		for e.waiting.Len() > 0 && e.waiting[0].at <= now {
			e.ready = append(e.ready, heap.Pop(&e.waiting).(*dialogue))
		}
		if e.waiting.Len() > 0 {
			wake = min(wake, e.waiting[0].at)
		}
		moved := false
		if pacer != nil {
			moved, wake = e.openLoop(p, pacer, &arrival, start, now, wake)
		} else {
			moved, wake = e.closedLoop(p, start, now, wake)
		}
		if moved {
			e.poll()
			continue
		}
		if e.idle(pacer, arrival) {
			break // nothing left to send, ever
		}
		e.wait(wake)
	}
	out.End = e.Clock.Now()
	if p.Duration > 0 && p.Requests == 0 && p.MinRequests == 0 && goOn && !e.exhausted {
		out.End = min(out.End, start+int64(p.Duration)) // not when the timer got round to it
	}
	out.Scheduled = e.sent
	e.outcome.Phases = append(e.outcome.Phases, out)
	if goOn && p.DrainHere && i < len(e.Phases)-1 {
		e.drain(p.Drain)
	}
	return goOn
}

// over reports whether one of the phase's limits is reached.
func (e *engine) over(p *plan.Phase, start, now int64) bool {
	elapsed := time.Duration(now - start)
	switch {
	case p.MaxDuration > 0 && elapsed >= p.MaxDuration:
		return true
	case p.Requests > 0 && e.sent >= p.Requests:
		return true
	case p.Duration > 0 && elapsed >= p.Duration:
		return e.finished >= p.MinRequests
	}
	return false
}

// deadline is the next moment at which a limit of time is reached.
func (e *engine) deadline(p *plan.Phase, start, now int64) int64 {
	at := int64(math.MaxInt64)
	if p.MaxDuration > 0 {
		at = start + int64(p.MaxDuration)
	}
	if end := start + int64(p.Duration); p.Duration > 0 && end > now {
		at = min(at, end)
	}
	return at
}

func (e *engine) stopped() bool {
	select {
	case <-e.Stop:
	case <-e.ctx.Done():
	default:
		return false
	}
	e.outcome.Interrupted = true
	return true
}

// resize makes as many slots as the curve says; a shrinking curve takes free ones away.
func (e *engine) resize(p *plan.Phase, start, now int64) (next int64) {
	total := p.Duration
	if total == 0 {
		total = p.MaxDuration
	}
	level := int(math.Round(p.Concurrency.At(time.Duration(now-start), total)))
	level = max(level, 1)
	for len(e.slots)+e.inFlight < level {
		heap.Push(&e.slots, now)
	}
	for len(e.slots) > 0 && len(e.slots)+e.inFlight > level {
		e.slots = e.slots[:len(e.slots)-1]
	}
	if c := p.Concurrency; level != int(math.Round(c.To)) && total > 0 {
		// Half way to the next level, where rounding turns.
		half := float64(level) + math.Copysign(0.5, c.To-c.From)
		return start + int64((half-c.From)/(c.To-c.From)*float64(total)) + 1
	}
	return math.MaxInt64
}

// closedLoop sends where a slot is free and a conversation can go on.
func (e *engine) closedLoop(p *plan.Phase, start, now, wake int64) (moved bool, _ int64) {
	wake = min(wake, e.resize(p, start, now))
	if len(e.slots) == 0 {
		return false, wake
	}
	if free := e.slots[0]; free > now {
		return false, min(wake, free)
	}
	want := e.Conversations.Active
	d := e.pick(p, want)
	if d == nil {
		return false, wake
	}
	free := heap.Pop(&e.slots).(int64)
	e.send(d, max(free, d.at, start))
	return true, wake
}

// openLoop sends what has arrived.
func (e *engine) openLoop(p *plan.Phase, pacer Pacer, arrival *int64, start, now, wake int64) (moved bool, _ int64) {
	if p.RateOf == "conversations" && len(e.ready) > 0 {
		d := e.ready[0]
		e.ready = e.ready[1:]
		e.send(d, d.at)
		return true, wake
	}
	at, ok := pacer.Next(time.Duration(now-start), *arrival)
	if !ok {
		return false, wake
	}
	due := start + int64(at)
	if due > now {
		return false, min(wake, due)
	}
	*arrival++
	if p.MaxInFlight > 0 && int64(e.inFlight) >= p.MaxInFlight {
		e.unsent(due)
		return true, wake
	}
	var d *dialogue
	if p.RateOf == "conversations" {
		d = e.begin(p)
	} else {
		d = e.pick(p, e.Conversations.Active)
	}
	if d == nil {
		return false, wake
	}
	e.send(d, due)
	return true, wake
}

// pick takes the conversation whose turn is next: among the open ones once there are as
// many as wanted, else a new one. With want 0 open ones go first.
func (e *engine) pick(p *plan.Phase, want int64) *dialogue {
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

// begin takes a new conversation, nil where there is none or no more may begin.
func (e *engine) begin(p *plan.Phase) *dialogue {
	if e.exhausted || (p.Conversations > 0 && e.started >= p.Conversations) {
		return nil
	}
	d, ok := <-e.opened
	if !ok {
		e.exhausted = true
		switch {
		case errors.Is(e.openErr, ErrExhausted):
			e.outcome.Exhausted = true
		case e.openErr != nil:
			e.err = e.openErr
		}
		return nil
	}
	e.open_++
	e.started++
	return d
}

// idle reports whether a phase has nothing to send now and never will.
func (e *engine) idle(pacer Pacer, arrival int64) bool {
	p := &e.Phases[e.current]
	if e.inFlight > 0 || e.waiting.Len() > 0 || len(e.ready) > 0 {
		return false
	}
	if e.exhausted || (p.Conversations > 0 && e.started >= p.Conversations) {
		return true
	}
	if pacer != nil {
		_, more := pacer.Next(0, arrival)
		return !more && p.Duration == 0
	}
	return false
}

// send starts a request in a goroutine of its own.
func (e *engine) send(d *dialogue, scheduled int64) {
	e.sequence++
	j := &job{d: d, req: d.next, phase: e.current}
	r := &j.req
	r.ID = e.IDPrefix + strconv.FormatInt(e.sequence, 10)
	r.Phase, r.Scheduled, r.Conversation = e.current, scheduled, d.index
	r.Timeout, r.IdleTimeout = e.Request.Timeout, e.Request.IdleTimeout
	r.KeepAnswer = e.KeepAnswers || (e.Conversations.Answers != "dataset" && d.turn+1 < e.turns(d))
	e.sent++
	e.inFlight++
	e.Live.Sent.Add(1)
	e.Live.InFlight.Store(int64(e.inFlight))
	ctx := e.requests
	go func() {
		e.Doer.Do(ctx, &j.req, &j.rec)
		e.ended <- j
	}()
	// It leaves now: of many at once each waits for its own turn, not for that of all who
	// come after it, and whoever reads answers need not queue behind them.
	runtime.Gosched()
}

// turns is how many user turns of a conversation are played.
func (e *engine) turns(d *dialogue) int64 {
	n := int64(d.conv.Turns())
	if m := e.Conversations.MaxTurns; m > 0 {
		n = min(n, m)
	}
	return n
}

// unsent records an arrival for which there was no room.
func (e *engine) unsent(due int64) {
	e.sequence++
	e.sent++
	e.Live.Failed.Add(1)
	r := record.Request{ID: e.IDPrefix + strconv.FormatInt(e.sequence, 10), Phase: e.current, Conversation: -1, DatasetRow: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1, Scheduled: due}
	var rec record.Record
	rec.Start(&r)
	rec.Status, rec.Error = record.Unsent, "not sent: max_concurrency requests were in flight when it was due"
	e.Recorder.Record(&rec)
}

// poll takes the requests that have ended, without waiting.
func (e *engine) poll() {
	for {
		select {
		case j := <-e.ended:
			e.done(j)
		default:
			return
		}
	}
}

// wait waits for a request to end, the clock to reach until, or a stop.
func (e *engine) wait(until int64) {
	var timer <-chan time.Time
	if left := e.coarse(until); left != math.MaxInt64 {
		if e.Precise && left <= 0 {
			e.precisely(until)
			return
		}
		t := time.NewTimer(left)
		defer t.Stop()
		timer = t.C
	}
	select {
	case j := <-e.ended:
		e.done(j)
	case <-timer:
	case <-e.Stop:
	case <-e.ctx.Done():
	}
}

// done takes an ended request: its record, its slot, its conversation's next turn.
func (e *engine) done(j *job) {
	rec := &j.rec
	e.inFlight--
	e.Live.InFlight.Store(int64(e.inFlight))
	if rec.Status == record.OK {
		e.Live.OK.Add(1)
		e.Live.Tokens.Add(int64(max(0, rec.OutputTokens)))
		if rec.FirstToken > 0 {
			e.Live.TTFTSum.Add(rec.FirstToken - rec.Sent)
		}
	} else {
		e.Live.Failed.Add(1)
	}
	if j.phase == e.current {
		e.finished++
	}
	e.abort(rec)
	free := rec.StreamEnd
	if free == 0 {
		free = e.Clock.Now()
	}
	thinking := int64(0)
	if e.think != nil {
		thinking = max(0, int64(e.think.Float(e.rand)))
	}
	next := e.follow(j, free+thinking)
	p := &e.Phases[e.current]
	if p.Rate == nil {
		heap.Push(&e.slots, free+thinking)
	}
	// The conversation's own answer may be in the record; it is not needed any more.
	if !e.KeepAnswers {
		rec.Answer = record.Answer{}
	}
	e.Recorder.Record(rec)
	if !next {
		e.open_--
	}
}

// follow makes the next turn of a request's conversation; false where it has ended.
func (e *engine) follow(j *job, at int64) bool {
	d := j.d
	d.turn++
	left := e.turns(d) - d.turn
	if left <= 0 {
		return false
	}
	if j.rec.Status != record.OK {
		if j.rec.Status != record.Cancelled {
			e.skip(j, left)
		}
		return false
	}
	d.next = record.Request{}
	ok, err := d.conv.Next(&j.rec, &d.next)
	if err != nil {
		e.err = err
		return false
	}
	if !ok {
		return false
	}
	d.at = at
	if at <= e.Clock.Now() {
		e.ready = append(e.ready, d)
	} else {
		heap.Push(&e.waiting, d)
	}
	return true
}

// skip records the turns that a failed one takes with it.
func (e *engine) skip(j *job, left int64) {
	for n := range left {
		e.sequence++
		r := j.req
		r.ID = e.IDPrefix + strconv.FormatInt(e.sequence, 10)
		r.Turn += int32(n) + 1
		r.HistoryTokens, r.AskedMin, r.AskedMax = -1, -1, -1
		r.Scheduled = j.rec.StreamEnd
		var rec record.Record
		rec.Start(&r)
		rec.Status, rec.Error = record.Skipped, "not sent: turn "+strconv.Itoa(int(j.req.Turn))+" of its conversation failed"
		e.Recorder.Record(&rec)
	}
}

// abort checks the cell's rule on the share of failures among the last requests.
func (e *engine) abort(rec *record.Record) {
	if e.Abort == nil || rec.Status == record.Cancelled {
		return
	}
	e.recent = append(e.recent, rec.Status != record.OK)
	if int64(len(e.recent)) < e.Abort.OfLast {
		return
	}
	e.recent = e.recent[int64(len(e.recent))-e.Abort.OfLast:]
	failed := 0
	for _, f := range e.recent {
		if f {
			failed++
		}
	}
	if share := float64(failed) / float64(len(e.recent)); share > e.Abort.ErrorRate && e.outcome.Aborted == "" {
		e.outcome.Aborted = fmt.Sprintf("%d of the last %d requests failed, the last with %s: %s", failed, len(e.recent), rec.Status, rec.Error)
	}
}

// drainTime is how long requests may finish after the last phase that ran.
func (e *engine) drainTime() time.Duration {
	if e.err != nil || e.outcome.Aborted != "" {
		return 0
	}
	if d := e.Phases[e.current].Drain; d > 0 {
		return d
	}
	return defaultDrain
}

// drain waits for the requests in flight; after the given time they are cut. An
// interrupted cell is cut by its context instead. Nothing new is sent: turns that become
// ready stay for the next phase.
func (e *engine) drain(within time.Duration) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	expired := timer.C
	for e.inFlight > 0 {
		select {
		case j := <-e.ended:
			e.done(j)
		case <-expired:
			e.cut()
			expired = nil
		}
	}
	e.cut()
	e.requests, e.cut = context.WithCancel(e.ctx)
}
