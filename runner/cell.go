package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sparkrun/runner/generator"
	"sparkrun/runner/journal"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/plan"
)

// cell runs one cell's load and hands its results on. Its error is why it failed; what
// was measured until then is kept.
func (r *run) cell(c *plan.Cell) error {
	if cause := r.skipAbove(c); cause != "" {
		r.leaveOut(c, cause)
		return nil
	}
	if err := r.gone(r.server(c.Server)); err != nil {
		r.skip(c, err.Error())
		return nil
	}
	srv, err := r.acquire(r.Control.soft, c)
	if err != nil {
		return err
	}
	defer srv.release()

	ctx, cancel := context.WithCancelCause(r.Control.hard)
	defer cancel(nil)
	if srv.launched() {
		watched := make(chan struct{})
		defer func() { cancel(nil); <-watched }()
		go func() {
			defer close(watched)
			if err := r.watch(ctx, srv, r.died); err != nil {
				cancel(err)
			}
		}()
	}

	put, give, err := r.loader(r.Control.soft, c, srv)
	if err != nil {
		return r.notLoaded(c, err)
	}
	defer func() { r.cleanedUp("the generator's workers", give()) }()
	var doer load.Client // of this process, where the load is its own
	if r.Plan.Generator == nil {
		if doer, err = r.client(srv, c); err != nil {
			return &Error{MeasureSource, fmt.Errorf("run %s: %w", c.Name, err)}
		}
		defer doer.Close()
	}
	dataset := r.dataset(c.Dataset)
	cache, err := r.setCache(ctx, srv, c, func(salted bool) (load.Source, error) {
		return r.Tools.Source(ctx, dataset, c, srv.plan, srv.endpoints[0], salted)
	})
	if err != nil {
		return &Error{MeasureSource, fmt.Errorf("run %s: open %s: %w", c.Name, c.Dataset, err)}
	}
	r.notes(c.Dataset, cache.source)
	rows, err := r.Store.CreateRows(r.info, c)
	if err != nil {
		return &Error{MeasureRowsLost, fmt.Errorf("run %s: %w", c.Name, err)}
	}

	boot, err := srv.bootIDs(ctx)
	if err != nil {
		return &Error{because(err, MeasureServerDied), fmt.Errorf("run %s: %w", c.Name, errors.Join(err, rows.Close()))}
	}
	observed, err := r.observe(ctx, srv, c)
	if err != nil {
		return errors.Join(err, rows.Close())
	}
	defer observed.stop()
	before := r.countersWhen(ctx, srv, c, atRest)
	keep := &recorder{rows: rows, secrets: r.Plan.Secrets}
	live := &load.Live{}
	stopProgress := r.progress(c, live)
	out, err := measure(ctx, c, srv.plan, keep, observed.over(put), load.Config{
		Phases: c.Phases, Conversations: c.Conversations, Request: c.Request,
		KeepAnswers: c.Record.Content, Abort: c.Abort, Seed: c.Seed,
		Source: cache.source, Doer: doer, Recorder: keep, Clock: r.Clock, Lead: load.Lead, Live: live,
		Stop: r.Control.soft.Done(), IDPrefix: fmt.Sprintf("%s-%d-", r.info.ID, c.Number),
		OnPhase: func(i int) {
			e := Event{Type: EventPhaseStarted, Address: c.Name, Phase: c.Phases[i].Name}
			if c.Search != nil {
				e.Message = fmt.Sprintf("%s %.4g", c.Search.Vary, keep.value)
			}
			r.emit(e)
		},
	})
	stopProgress()
	settle(ctx, srv, keep.records)
	ours := sentOf(keep.records)
	after := r.countersWhen(ctx, srv, c, func(says map[string]float64) bool { return ours.contradicts("", before, says) == load.Counted{} })
	observed.stop()
	out.Counted = observed.counted(before, after, ours, out)
	out.Cache = r.cacheOutcome(srv, c, cache, before, after, keep.records)

	cell := &result.Cell{Plan: c, Server: srv.plan, Model: srv.endpoints[0].Model, Records: keep.records, Samples: observed.samples.All(), Outcome: out}
	cell.Entries = result.Summarise(c, srv.plan, keep.records, out)
	for i := range cell.Entries {
		cell.Entries[i].Model, cell.Entries[i].Fingerprint = cell.Model, srv.print.ID
		if r.Parallelism > 1 {
			cell.Entries[i].AddShared(r.Parallelism)
		}
		cell.Entries[i].Beyond(r.info.Selftest)
	}
	r.markHosts(srv, boot, cell.Entries)
	rowsErr := rows.Close()
	if rowsErr == nil {
		r.keepRows(c, keep.records)
	}
	if err := observed.samples.Keep(out.Phases); err != nil {
		r.problem(err)
	}
	failure := r.failure(ctx, c, err, rowsErr, out, cell.Entries)
	outcome, cause := "succeeded", ""
	switch {
	case failure != nil && errors.Is(failure, errInterrupted):
		outcome, cause = "interrupted", failure.Error()
	case failure != nil:
		outcome, cause = "failed", failure.Error()
	}
	result.Conclude(cell.Entries, outcome, cause)
	r.mu.Lock()
	r.prints[c.Canonical] = srv.print
	r.mu.Unlock()
	r.endCell(cell, outcome, cause)
	return failure
}

// slowKeep is how long making Parquet files may take without a word.
const slowKeep = 2 * time.Second

// keepRows makes a cell's rows into its Parquet files: after its load has ended and before
// another one's begins, so that nothing is measured meanwhile. What can't be made stays as it is.
func (r *run) keepRows(c *plan.Cell, records []record.Record) {
	begun := time.Now()
	if err := r.Store.KeepRows(r.info, c, records); err != nil {
		r.problem(err)
		return
	}
	if took := time.Since(begun); took > slowKeep {
		r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("%d rows of %s were made into Parquet files in %.1f s", len(records), c.Name, took.Seconds())})
	}
}

// settleTime is how long the end of a server's program may take to be known after its
// connections broke; podman looks for it now and then.
const settleTime = 1500 * time.Millisecond

// settle waits, where a connection or the server broke, for what may be known of the server's end: it is
// the cause then, and the requests that failed are its consequence. Of several replicas
// another one may have answered the last request.
func settle(ctx context.Context, srv *server, records []record.Record) {
	broke := func(r record.Record) bool {
		switch r.Status {
		case record.ConnectError, record.TLSError, record.Reset, record.StreamError, record.Truncated:
			return true
		}
		return r.Status >= 500
	}
	if !srv.launched() || !slices.ContainsFunc(records, broke) {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(settleTime):
	}
	if !srv.running() {
		<-ctx.Done() // the watcher says why
	}
}

// failure decides why a cell failed, nil if it did not.
func (r *run) failure(ctx context.Context, c *plan.Cell, loadErr, rowsErr error, out load.Outcome, entries []result.Entry) error {
	var died *Error
	if errors.As(context.Cause(ctx), &died) {
		return died
	}
	if out.Interrupted {
		return errInterrupted
	}
	if errors.Is(loadErr, generator.ErrLost) {
		return &Error{MeasureWorkersLost, fmt.Errorf("run %s: %w", c.Name, loadErr)}
	}
	if loadErr != nil {
		return &Error{MeasureSource, fmt.Errorf("run %s: %w", c.Name, loadErr)}
	}
	if rowsErr != nil {
		return &Error{MeasureRowsLost, fmt.Errorf("run %s: %w", c.Name, rowsErr)}
	}
	if out.Aborted != "" {
		return fail(MeasureAborted, "run %s: %s", c.Name, out.Aborted)
	}
	for i := range entries {
		if entries[i].Requests.Scheduled == 0 {
			return fail(MeasureNoOK, "run %s: no request was sent in phase %s: those of the phase before took all of its time; make it longer", c.Name, entries[i].Phase)
		}
		if entries[i].Requests.OK == 0 {
			return fail(MeasureNoOK, "run %s: no request of phase %s succeeded%s", c.Name, entries[i].Phase, firstError(&entries[i]))
		}
	}
	return nil
}

func firstError(e *result.Entry) string {
	if len(e.Errors) == 0 {
		return ""
	}
	return fmt.Sprintf(": %d × %s (%s)", e.Errors[0].Count, e.Errors[0].Status, e.Errors[0].Message)
}

// endCell keeps a cell's entries, tells the sinks and writes it down.
func (r *run) endCell(cell *result.Cell, outcome, cause string) {
	c := cell.Plan
	r.mu.Lock()
	r.entries[c.Canonical] = cell.Entries
	r.doneSecs += c.Estimate.Seconds
	on := r.prints[c.Canonical]
	r.mu.Unlock()
	r.sinkCell(cell)
	r.writeSummary()
	// After the rows and the summary: what the journal calls finished is on the disk.
	var server json.RawMessage
	if on != nil {
		server = marshal(on)
	}
	r.log(journal.Line{
		Type: journal.Cell, Canonical: c.Canonical, Number: c.Number, Digest: c.Digest,
		Outcome: outcome, Cause: cause, Model: cell.Model, Server: server, Load: marshal(cell.Outcome),
	})
	r.emit(Event{Type: EventCellEnded, Address: c.Name, Outcome: Outcome(outcome), Message: cause, Data: cell.Entries})
}

// notes says once what there is to say of a dataset: what was left out of it, how lengths
// were counted.
func (r *run) notes(dataset string, source load.Source) {
	n, ok := source.(interface{ Notes() []string })
	if !ok {
		return
	}
	for _, note := range n.Notes() {
		r.sayOnce("warn", dataset+": "+note)
	}
}

// sayOnce logs a message unless it has been logged in this run.
func (r *run) sayOnce(level, message string) {
	r.mu.Lock()
	said := r.said[message]
	r.said[message] = true
	r.mu.Unlock()
	if !said {
		r.emit(Event{Type: EventLog, Level: level, Message: message})
	}
}

func (r *run) dataset(address string) *plan.Dataset {
	for i := range r.Plan.Datasets {
		if r.Plan.Datasets[i].Address == address {
			return &r.Plan.Datasets[i]
		}
	}
	return nil
}

// recorder keeps a cell's records and writes each as a row.
type recorder struct {
	records []record.Record
	rows    *store.Rows
	secrets []string
	step    int     // of a search
	value   float64 // that it tries
}

func (k *recorder) Record(rec *record.Record) {
	rec.SearchStep, rec.SearchValue = k.step, k.value
	if rec.Error != "" {
		rec.Error = Redacted(rec.Error, k.secrets)
	}
	k.rows.Write(rec)
	k.records = append(k.records, *rec)
}

// progressEvery is how often a running cell says how it is.
const progressEvery = 250 * time.Millisecond

// progress emits a cell's live state until the returned function is called.
func (r *run) progress(c *plan.Cell, live *load.Live) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	var order int
	for i := range r.Plan.Cells {
		if r.Plan.Cells[i].Canonical == c.Canonical {
			order = i + 1
		}
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		started, phase := time.Now(), int32(-1)
		phaseStart, sentBefore := started, int64(0)
		var tokens []int64 // at the last ticks, newest last
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				if p := live.Phase.Load(); p != phase {
					phase, phaseStart, sentBefore = p, now, live.Sent.Load()
				}
				tokens = append(tokens, live.Tokens.Load())
				if len(tokens) > int(time.Second/progressEvery)+1 {
					tokens = tokens[1:]
				}
				p := Progress{
					Cell: order, Cells: len(r.Plan.Cells), ElapsedSeconds: now.Sub(started).Seconds(),
					InFlight: live.InFlight.Load(), Sent: live.Sent.Load(), OK: live.OK.Load(), Failed: live.Failed.Load(),
					Fraction: fraction(&c.Phases[phase], now.Sub(phaseStart), live.Sent.Load()-sentBefore),
				}
				if n := len(tokens) - 1; n > 0 {
					p.OutputTokensPerS = float64(tokens[n]-tokens[0]) / (float64(n) * progressEvery.Seconds())
				}
				if p.OK > 0 {
					p.TTFTMeanMS = float64(live.TTFTSum.Load()) / float64(p.OK) / 1e6
				}
				r.mu.Lock()
				p.RemainingSeconds = remaining(r.Plan.Estimate.Seconds, r.doneSecs, now.Sub(r.begun).Seconds(), now.Sub(started).Seconds(), c.Estimate.Seconds)
				r.mu.Unlock()
				r.emit(Event{Type: EventProgress, Address: c.Name, Phase: c.Phases[phase].Name, Progress: &p})
			}
		}
	}()
	return func() { close(done); <-ended }
}

// fraction is how much of a phase is done by its own limits, -1 where it has none that
// can tell.
func fraction(p *plan.Phase, elapsed time.Duration, sent int64) float64 {
	f := -1.0
	if p.Duration > 0 {
		f = min(1, float64(elapsed)/float64(p.Duration))
	}
	if p.Requests > 0 {
		f = max(f, min(1, float64(sent)/float64(p.Requests)))
	}
	return f
}

// remaining scales what is left of the plan's estimate by how long the ended cells
// really took; -1 where the plan has no estimate.
func remaining(total, done, elapsed, inCell, cell float64) float64 {
	if total <= 0 {
		return -1
	}
	left := total - done - min(inCell, cell)
	if done > 0 {
		left *= max(1, (elapsed-inCell)/done)
	}
	return max(0, left)
}
