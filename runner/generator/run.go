package generator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// How long before its time a phase's beginning is told: what is under way to the workers
// must have come. The next phase of one whose end is known is told before that end.
const (
	startLead = 20 * time.Millisecond
	nextLead  = 100 * time.Millisecond
)

// How long workers may be behind what they must do before they are lost.
const (
	readyWithin = 30 * time.Second
	overWithin  = 10 * time.Second // beyond a phase's limit
	doneWithin  = 10 * time.Second // beyond the last drain
	cutWithin   = 5 * time.Second
	defaultTail = 30 * time.Second // load's own drain
)

// pollEvery is how often the loop looks at the clock.
const pollEvery = 10 * time.Millisecond

// Target is what a load is put on.
type Target struct {
	Cell      *plan.Cell
	Framework string
	Endpoints []targets.Endpoint // of the server's replicas, which differ by their URL alone
	Balance   string             // among them, of each worker's own requests
}

// Run puts a cell's load on its server with all workers that find something to do, as
// load.Run does by itself: cfg.Source must be a Dealer. Workers that are lost on the way
// are in the outcome; without any worker left Run returns an error.
func (f *Fleet) Run(ctx context.Context, cfg load.Config, t Target) (load.Outcome, error) {
	source, ok := cfg.Source.(Dealer)
	if !ok {
		return load.Outcome{}, errors.New("conversations of this dataset can't be dealt to workers")
	}
	if err := f.Whole(); err != nil {
		return load.Outcome{}, err
	}
	for len(f.events) > 0 {
		<-f.events // of the load before
	}
	ranks := f.ranks[:load.Engines(cfg.Phases, len(f.ranks))]
	j := &joint{Config: cfg, ranks: ranks, dealing: newDealing(source, ranks, cfg.First), rules: load.NewRules(cfg.Abort), phase: -1}
	if j.Live == nil {
		j.Live = &load.Live{}
	}
	for _, r := range ranks {
		j.members = append(j.members, &member{rank: r, of: len(ranks), before: r.handed.Load()})
	}
	j.measure(ctx)
	all := newJob(&cfg, t)
	for i, r := range ranks {
		mine := all
		mine.Share = load.Share{Rank: i, Size: len(ranks)}
		mine.IDPrefix = fmt.Sprintf("%sw%d-", cfg.IDPrefix, i)
		r.tell(message(kindJob, mine))
	}
	dealt, stop := context.WithCancel(context.Background())
	var dealer sync.WaitGroup
	dealer.Go(func() { j.dealing.run(dealt) })
	j.loop(ctx, f.events)
	stop()
	dealer.Wait()
	return j.outcome()
}

// joint is a load that several workers make, run by one goroutine.
type joint struct {
	load.Config
	ranks   []*rank
	members []*member
	dealing *dealing
	rules   *load.Rules

	began    int64 // the job was given
	phase    int   // the last that has been told to begin, -1: none
	starts   []int64
	told     bool // the phase was told to end
	closed   []load.PhaseOutcome
	overAt   int64 // all were over with the last phase
	stopping bool
	cutAt    int64 // all requests were cut
}

// member is a worker in one load.
type member struct {
	*rank
	of      int
	before  int64 // frames that it had handed on before
	taken   int64 // frames of it since
	ready   bool
	offsets []int64 // of its clock to ours, by phase
	within  int64   // what they may be wrong by
	phases  []load.PhaseOutcome
	due     []int64 // of its requests in open loops: when, after the phase's start, was each to leave
	dueOf   []int   // the phase of each
	counts  []int64 // records, by phase
	live    live
	done    *done
	lost    error
	lostAt  int64
}

// here reports whether a member has not been lost.
func (m *member) here() bool { return m.lost == nil }

func (j *joint) now() int64 { return j.Clock.Now() }

// measure finds out how far the workers' clocks are from ours.
func (j *joint) measure(ctx context.Context) {
	limit := time.NewTimer(probeTime)
	defer limit.Stop()
	for _, m := range j.members {
		select {
		case <-m.measure():
		case <-m.gone:
		case <-limit.C:
			return // what has come must do
		case <-ctx.Done():
			return
		}
	}
}

// loop runs the load until every member is done or lost.
func (j *joint) loop(ctx context.Context, events <-chan event) {
	j.began = j.now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	soft, hard := j.Stop, ctx.Done()
	for slices.ContainsFunc(j.members, func(m *member) bool { return m.here() && m.done == nil }) {
		select {
		case e := <-events:
			if e.Rank < len(j.members) {
				j.take(j.members[e.Rank], e.frame)
			}
		case <-tick.C:
		case <-soft:
			soft = nil
			j.end(false)
		case <-hard:
			hard = nil
			j.end(true)
		}
		j.losses()
		j.advance()
	}
	for len(j.closed) <= j.phase {
		j.close()
	}
}

// losses notes who has gone since, once all that it said has been taken.
func (j *joint) losses() {
	for _, m := range j.members {
		if why := m.reason(); m.here() && m.done == nil && why != nil && m.isQuiet() && m.taken >= m.handed.Load()-m.before {
			m.lost, m.lostAt = why, j.now()
		}
	}
}

// each calls a function for every member that is here.
func (j *joint) each(f func(m *member)) {
	for _, m := range j.members {
		if m.here() && m.done == nil {
			f(m)
		}
	}
}

// all reports whether something holds for every member that is here.
func (j *joint) all(holds func(m *member) bool) bool {
	return !slices.ContainsFunc(j.members, func(m *member) bool { return m.here() && m.done == nil && !holds(m) })
}

// end stops the load: no more requests, or also none of those under way.
func (j *joint) end(cut bool) {
	j.stopping = true
	if cut && j.cutAt == 0 {
		j.cutAt = j.now()
	}
	j.each(func(m *member) { m.tell(message(kindStop, stop{cut})) })
}

// advance does what it is time for.
func (j *joint) advance() {
	now := j.now()
	for len(j.closed) <= j.phase && j.isOver(len(j.closed)) {
		j.close()
	}
	switch {
	case j.cutAt != 0:
		j.late(now, j.cutAt, cutWithin, func(m *member) bool { return m.done != nil }, "it did not cut its requests")
	case j.rules.Aborted() != "":
		j.end(true)
	case j.stopping: // who called us cuts what takes too long
	case j.phase < 0:
		j.late(now, j.began, readyWithin, func(m *member) bool { return m.ready }, "it was not ready to begin")
		if j.all(func(m *member) bool { return m.ready }) {
			j.begin(now + int64(startLead))
		}
	case len(j.closed) > j.phase && j.phase == len(j.Phases)-1:
		if j.overAt == 0 {
			j.overAt = now
		}
		tail := max(j.Phases[j.phase].Drain, defaultTail)
		j.late(now, j.overAt, tail+doneWithin, func(m *member) bool { return m.done != nil }, "it did not end")
	case len(j.closed) > j.phase:
		j.begin(now + int64(startLead))
	default:
		j.during(now)
	}
}

// during does what it is time for in the midst of a phase.
func (j *joint) during(now int64) {
	p, begun := &j.Phases[j.phase], j.starts[j.phase]
	elapsed := time.Duration(now - begun)
	if !j.told && j.rules.Ends(elapsed) {
		j.told = true
		j.each(func(m *member) { m.tell(message(kindEnd, end{j.phase})) })
	}
	if fixed(p) && j.phase < len(j.Phases)-1 && elapsed >= p.Duration-nextLead {
		j.begin(begun + int64(p.Duration))
		return
	}
	limit := p.MaxDuration
	if p.Duration > 0 && (p.MinRequests == 0 || j.told) && (limit == 0 || p.Duration < limit) {
		limit = p.Duration
	}
	if limit > 0 {
		if p.DrainHere {
			limit += p.Drain
		}
		j.late(now, begun, limit+overWithin, func(m *member) bool { return len(m.phases) > j.phase }, "it did not end its phase")
	}
}

// fixed reports whether the end of a phase is known when it begins.
func fixed(p *plan.Phase) bool {
	return p.Duration > 0 && p.Requests == 0 && p.Conversations == 0 && p.MinRequests == 0 && !p.UntilStable && !p.DrainHere
}

// late gives up the members that have not done in time what they must.
func (j *joint) late(now, since int64, within time.Duration, did func(m *member) bool, why string) {
	if now-since <= int64(within) {
		return
	}
	j.each(func(m *member) {
		if !did(m) {
			m.lose(fmt.Errorf("%s within %s", why, within))
		}
	})
}

// begin tells the members to begin the next phase at a time of ours.
func (j *joint) begin(at int64) {
	j.phase++
	j.told = false
	j.starts = append(j.starts, at)
	j.rules.Begin(&j.Phases[j.phase], j.phase)
	j.Live.Phase.Store(int32(j.phase))
	if j.OnPhase != nil {
		j.OnPhase(j.phase)
	}
	j.each(func(m *member) {
		ahead, within, ok := m.ahead()
		if !ok {
			m.lose(errors.New("it does not answer pings"))
			return
		}
		m.offsets, m.counts = append(m.offsets, ahead), append(m.counts, 0)
		m.within = max(m.within, within)
		m.tell(message(kindStart, start{j.phase, at - ahead}))
	})
}

// take deals with what a member said.
func (j *joint) take(m *member, f frame) {
	if f.kind == 0 {
		return // it is gone, which losses sees
	}
	m.taken++
	if err := j.understand(m, f); err != nil {
		m.lose(err)
	}
}

func (j *joint) understand(m *member, f frame) error {
	switch f.kind {
	case kindReady:
		m.ready = true
	case kindWant:
		w, err := read[want](f)
		if err != nil {
			return err
		}
		if w.More < 1 || w.More > window {
			return fmt.Errorf("what came is not the protocol: it wants %d conversations", w.More)
		}
		return offer(j.dealing.wants, asked{m.Rank, w.More})
	case kindOver:
		o, err := read[over](f)
		if err != nil {
			return err
		}
		if o.Phase != len(m.phases) || o.Phase >= len(m.offsets) {
			return fmt.Errorf("what came is not the protocol: phase %d is over", o.Phase)
		}
		o.Outcome.Start, o.Outcome.End = j.starts[o.Phase], o.Outcome.End+m.offsets[o.Phase]
		m.phases = append(m.phases, o.Outcome)
	case kindRecords:
		return j.records(m, f)
	case kindLive:
		l, err := read[live](f)
		if err != nil {
			return err
		}
		m.live = l
		j.sum()
	case kindDone:
		d, err := read[done](f)
		if err != nil {
			return err
		}
		if d.Outcome.Interrupted && !j.stopping {
			return errors.New("it was interrupted")
		}
		m.done = &d
		m.live.InFlight = 0
		j.sum()
	}
	return nil
}

// records takes a block of a member's records.
func (j *joint) records(m *member, f frame) error {
	all, err := readRecords(f, len(m.offsets))
	if err != nil {
		return err
	}
	for i := range all {
		rec := &all[i]
		rec.Shift(m.offsets[rec.Phase])
		rec.Rank = int32(m.Rank)
		if rec.Worker >= 0 {
			rec.Worker = rec.Worker*int32(m.of) + int32(m.Rank)
		}
		m.counts[rec.Phase]++
		if j.Phases[rec.Phase].OpenLoop() {
			m.due = append(m.due, rec.Scheduled-j.starts[rec.Phase])
			m.dueOf = append(m.dueOf, rec.Phase)
		}
		j.rules.Add(rec)
		j.Recorder.Record(rec)
	}
	return nil
}

// sum adds the members' counters up for the screen.
func (j *joint) sum() {
	var s live
	for _, m := range j.members {
		l := m.live
		s.InFlight += l.InFlight
		s.Sent += l.Sent
		s.OK += l.OK
		s.Failed += l.Failed
		s.Tokens += l.Tokens
		s.TTFTSum += l.TTFTSum
	}
	j.Live.InFlight.Store(s.InFlight)
	j.Live.Sent.Store(s.Sent)
	j.Live.OK.Store(s.OK)
	j.Live.Failed.Store(s.Failed)
	j.Live.Tokens.Store(s.Tokens)
	j.Live.TTFTSum.Store(s.TTFTSum)
}

// isOver reports whether every member that is here has ended a phase.
func (j *joint) isOver(phase int) bool {
	return j.all(func(m *member) bool { return len(m.phases) > phase })
}

// close makes one outcome of the members' of the first phase that has none.
func (j *joint) close() {
	i := len(j.closed)
	p := &j.Phases[i]
	out := load.PhaseOutcome{Name: p.Name, Measure: p.Measure, Start: j.starts[i]}
	for _, m := range j.members {
		if i < len(m.phases) {
			out.End = max(out.End, m.phases[i].End)
			out.Scheduled += m.phases[i].Scheduled
			out.Late = max(out.Late, m.phases[i].Late)
		}
	}
	if out.End == 0 { // nobody is left to say
		out.End = max(out.Start, j.now())
		if p.Duration > 0 {
			out.End = min(out.End, out.Start+int64(p.Duration))
		}
	}
	out.Unstable = p.UntilStable && !j.rules.Stable()
	j.closed = append(j.closed, out)
	for _, m := range j.members {
		if !m.here() && i >= len(m.phases) { // of a lost one: what there are records of, and what is missing
			j.closed[i].Scheduled += j.missing(m, i, out.End)
			if i < len(m.counts) {
				j.closed[i].Scheduled += m.counts[i]
			}
		}
	}
}

// outcome is what came of it all.
func (j *joint) outcome() (load.Outcome, error) {
	out := load.Outcome{Phases: j.closed, Aborted: j.rules.Aborted(), Next: j.First}
	var failed, lost error
	left := 0
	for _, m := range j.members {
		w := load.Worker{Rank: m.Rank, Host: m.Host, Pid: m.Pid, OffsetError: m.within}
		for _, n := range m.counts {
			w.Requests += n
		}
		if n := len(m.offsets); n > 0 {
			w.Offset = m.offsets[0]
			if ahead, within, ok := m.ahead(); ok { // how far the clocks have drifted apart
				drift := ahead - m.offsets[n-1]
				w.OffsetError = max(w.OffsetError, max(drift, -drift)+within)
			}
		}
		if !m.here() {
			w.Lost, w.LostAt = m.lost.Error(), m.lostAt
			if lost == nil {
				lost = fmt.Errorf("%w: %s: %w", ErrLost, m.name(m.of), m.lost)
			}
		}
		out.Workers = append(out.Workers, w)
		if d := m.done; d != nil {
			left++
			out.Next = max(out.Next, d.Outcome.Next)
			out.Exhausted = out.Exhausted || d.Outcome.Exhausted
			out.Interrupted = out.Interrupted || d.Outcome.Interrupted
			if d.Error != "" && failed == nil {
				failed = errors.New(d.Error)
			}
		}
	}
	if out.Aborted != "" {
		out.Interrupted = false // by our own rule
	}
	if left == 0 {
		return out, fmt.Errorf("no worker is left: %w", lost)
	}
	n := int64(len(j.members)) // the next load begins with a conversation of rank 0
	out.Next = j.First + (out.Next-j.First+n-1)/n*n
	return out, failed
}
