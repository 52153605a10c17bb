package load

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
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
		rand:   rand.New(rand.NewPCG(cfg.Seed, 0x6c6f6164+uint64(cfg.Share.Rank))), // "load"
		opened: make(chan *dialogue, openAhead),
		ended:  make(chan *job),
	}
	e.taken = cfg.First
	e.aborts.rule = cfg.Abort
	if cfg.Gate != nil {
		e.endings = cfg.Gate.Ends
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
	if cfg.Gate != nil && cfg.Gate.Ended != nil {
		cfg.Gate.Ended()
	}
	e.drain(e.drainTime())
	e.outcome.Next = e.taken
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
	slots    slotHeap // closed loop: the free ones
	workers  int32    // slots there have been
	spare    []int32  // workers without a slot
	ready    []*dialogue
	waiting  dialogueHeap // think before their next turn
	parked   []*dialogue  // have had their first turn; in the order in which it ended
	open_    int64        // conversations begun and not ended
	taken    int64        // conversation of the dataset that comes next
	started  int64        // in this phase
	sent     int64        // in this phase, unsent ones included
	finished int64        // sent in this phase and ended
	early    bool         // early_stop has ended the phase
	last     int64        // when the last request of this phase was to leave
	stable   *stability   // of a phase until_stable, else nil

	ended    chan *job
	inFlight int
	sequence int64
	aborts   aborter
	endings  <-chan int // of phases, by the others that share the load; nil: there are none
	told     int        // phases that they have ended
	late     int64      // than they had agreed on this phase began here
}

// job is a request under way.
type job struct {
	d     *dialogue
	req   record.Request
	rec   record.Record
	phase int
	more  bool  // the conversation goes on, with the dialogue's next request
	err   error // the dataset's, when that was to be made
}

// phase runs one phase and reports whether the cell goes on.
func (e *engine) phase(i int) bool {
	p := &e.Phases[i]
	var err error
	if e.think, err = dist.New(p.ThinkTime); err != nil {
		e.err = fmt.Errorf("think time of phase %s: %w", p.Name, err)
		return false
	}
	e.current, e.started, e.sent, e.finished, e.early, e.last = i, 0, 0, 0, false, 0
	e.Live.Phase.Store(int32(i))
	if e.OnPhase != nil {
		e.OnPhase(i)
	}
	if e.stable = newStability(p); e.Gate != nil {
		e.stable = nil // it is not for one of several to judge
	}
	start, ok := e.start()
	if !ok {
		return false
	}
	out := PhaseOutcome{Name: p.Name, Measure: p.Measure, Start: start, Late: e.late}
	var pacer Pacer
	if p.OpenLoop() {
		for _, s := range e.slots {
			e.spare = append(e.spare, s.worker)
		}
		e.slots = nil
		pacer = e.pacer(p)
	} else {
		e.resize(p, start, start)
	}
	arrival := int64(0)
	goOn := true
	for {
		now := e.Clock.Now()
		behind := false
		if e.over(p, start, now) {
			if behind = pacer != nil && e.behind(p, pacer, arrival, start); !behind {
				break
			}
		}
		if e.stopped() || e.outcome.Aborted != "" || e.err != nil {
			goOn = false
			break
		}
		if behind && now >= e.end(p, start)+int64(overdueFor) && e.tooLate(p, pacer, &arrival, start) {
			continue
		}
		wake := e.deadline(p, start, now)
		// What is due until then is given to the Doer, but nothing that a limit comes before.
		horizon := min(now+int64(e.Lead), wake-1)
		if behind {
			horizon = e.end(p, start) - 1
		}
		if e.waiting.Len() > 0 {
			wake = min(wake, e.ahead(e.waiting[0].at, now))
		}
		moved := false
		if pacer != nil {
			moved, wake = e.openLoop(p, pacer, &arrival, start, now, horizon, wake)
		} else {
			moved, wake = e.closedLoop(p, start, now, horizon, wake)
		}
		if moved {
			e.poll()
			continue
		}
		if behind || e.idle(pacer, arrival) {
			break // nothing left to send, ever
		}
		e.wait(wake)
	}
	for goOn && e.Clock.Now() < e.last && !e.stopped() {
		e.wait(e.last)
	}
	out.End = e.Clock.Now()
	if p.Duration > 0 && p.Requests == 0 && p.MinRequests == 0 && goOn && !e.exhausted {
		out.End = min(out.End, start+int64(p.Duration)) // not when the timer got round to it
	}
	out.Scheduled, out.Unstable = e.sent, p.UntilStable && !e.stable.reached()
	e.outcome.Phases = append(e.outcome.Phases, out)
	if goOn && p.DrainHere && i < len(e.Phases)-1 {
		e.drain(p.Drain)
	}
	if e.Gate != nil {
		e.Gate.Over(out)
	}
	return goOn
}

// over reports whether one of the phase's limits is reached.
func (e *engine) over(p *plan.Phase, start, now int64) bool {
	elapsed := time.Duration(now - start)
	switch {
	case e.early, e.stable.reached(), p.MaxDuration > 0 && elapsed >= p.MaxDuration:
		return true
	case e.told > e.current, p.Requests > 0 && e.sent >= e.Share.Quota(p, p.Requests):
		return true
	case p.Duration > 0 && elapsed >= p.Duration:
		return p.MinRequests == 0 || e.Gate == nil && e.finished >= p.MinRequests
	}
	return false
}

// end is when time alone ends a phase.
func (e *engine) end(p *plan.Phase, start int64) int64 {
	at := int64(math.MaxInt64)
	for _, d := range []time.Duration{p.Duration, p.MaxDuration} {
		if d > 0 {
			at = min(at, start+int64(d))
		}
	}
	return at
}

// behind reports whether an arrival is not sent though time has ended its phase only after
// it: the machine was away in between. It is sent late, as one in the middle would be.
func (e *engine) behind(p *plan.Phase, pacer Pacer, arrival, start int64) bool {
	end := e.end(p, start)
	if e.early || e.stable.reached() || e.told > e.current || e.Clock.Now() < end || p.Requests > 0 && e.sent >= e.Share.Quota(p, p.Requests) {
		return false
	}
	at, ok := pacer.Next(time.Duration(end-start), arrival)
	return ok && start+int64(at) < end
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

// ahead is when to give what is due at a time to the Doer. What could be given now, and is
// not, waits for the limit that comes before it.
func (e *engine) ahead(due, now int64) int64 {
	if at := due - int64(e.Lead); at > now {
		return at
	}
	return math.MaxInt64
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

// send starts a request in a goroutine of its own.
func (e *engine) send(d *dialogue, worker int32, scheduled int64) {
	e.sequence++
	j := &job{d: d, req: d.next, phase: e.current}
	r := &j.req
	r.ID = e.IDPrefix + strconv.FormatInt(e.sequence, 10)
	r.Phase, r.Worker, r.Scheduled, r.Conversation = e.current, worker, scheduled, d.index
	r.LastTurn = d.turn+1 >= e.turns(d)
	r.Timeout, r.IdleTimeout = e.Request.Timeout, e.Request.IdleTimeout
	r.KeepAnswer = e.KeepAnswers || e.Conversations.Verify || (e.Conversations.Answers != "dataset" && !r.LastTurn)
	e.last = max(e.last, scheduled)
	e.sent++
	e.inFlight++
	e.Live.Sent.Add(1)
	e.Live.InFlight.Store(int64(e.inFlight))
	ctx := e.requests
	go func() {
		e.try(ctx, j)
		e.prepare(j)
		e.ended <- j
	}()
	// It leaves now: of many at once each waits for its own turn, not for that of all who
	// come after it, and whoever reads answers need not queue behind them.
	runtime.Gosched()
}

// try sends a request, and again after a growing pause while it fails and retries are left.
func (e *engine) try(ctx context.Context, j *job) {
	for n := int64(0); ; n++ {
		e.Doer.Do(ctx, &j.req, &j.rec)
		j.rec.Retries = int32(n)
		if n >= e.Request.Retries || j.rec.Status == record.OK || j.rec.Status == record.Cancelled {
			return
		}
		// A second, doubled each time, and a tenth more or less so that failures that came
		// together do not come back together.
		pause := time.NewTimer(time.Duration(float64(time.Second) * math.Pow(2, float64(n)) * (0.9 + 0.2*rand.Float64())))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
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
	if until != math.MaxInt64 {
		t := time.NewTimer(time.Duration(until - e.Clock.Now()))
		defer t.Stop()
		timer = t.C
	}
	select {
	case j := <-e.ended:
		e.done(j)
	case i := <-e.endings:
		e.told = i + 1
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
		e.stable.add(rec)
	}
	e.aborts.add(rec)
	e.outcome.Aborted = e.aborts.why
	free := rec.StreamEnd
	if free == 0 {
		free = e.Clock.Now()
	}
	thinking := int64(0)
	if e.think != nil {
		thinking = max(0, int64(e.think.Float(e.rand)))
	}
	switch worker := j.req.Worker; {
	case e.Phases[e.current].OpenLoop():
		if worker >= 0 {
			e.spare = append(e.spare, worker)
		}
	case worker < 0:
		heap.Push(&e.slots, slot{free + thinking, e.worker()})
	default:
		heap.Push(&e.slots, slot{free + thinking, worker})
	}
	if want := j.req.Expected; want != "" && rec.Status == record.OK {
		rec.Matches = record.Differs
		if rec.Answer.Content == want {
			rec.Matches = record.Same
		}
	}
	if e.KeepAnswers {
		rec.System, rec.Prompt = j.req.System, j.req.Prompt
	} else {
		rec.Answer = record.Answer{} // the conversation has taken it
	}
	e.Recorder.Record(rec)
	e.follow(j, free+thinking)
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
