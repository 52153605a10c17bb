package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// beginSinks opens every sink before anything is touched.
func (r *run) beginSinks() error {
	for _, s := range r.Plan.Sinks {
		if err := guarded(func() error { return r.Sinks[s.Address].Begin(context.Background(), r.info) }); err != nil {
			return fmt.Errorf("open %s: %w", s.Address, err)
		}
	}
	return nil
}

// sinkCell gives every sink a finished cell. Cells end one at a time per sink: tasks of
// parallel cells take turns.
func (r *run) sinkCell(c *result.Cell) {
	r.sinkMu.Lock()
	defer r.sinkMu.Unlock()
	for _, s := range r.Plan.Sinks {
		if err := guarded(func() error { return r.Sinks[s.Address].Cell(r.Control.cleanup, c) }); err != nil {
			r.problem(fmt.Errorf("write %s to %s: %w", c.Plan.Name, s.Address, err))
		}
	}
	if r.OnCell != nil {
		r.OnCell(c)
	}
}

// endSink writes a sink's end. It is a final task and so always runs.
func (r *run) endSink(ctx context.Context, t *plan.Task) error {
	r.sinkMu.Lock()
	defer r.sinkMu.Unlock()
	r.info.Entries = r.collect()
	r.info.Interrupted = r.Control.Interrupted()
	r.info.Ended = time.Now()
	r.info.Thresholds, _ = result.Thresholds(r.Plan, r.info.Entries, r.Baseline) // end reports the error
	if err := guarded(func() error { return r.Sinks[t.Subject].End(ctx, r.info) }); err != nil {
		err = fmt.Errorf("write %s: %w", t.Subject, err)
		r.problem(err)
		return err
	}
	return nil
}

// guarded turns a panic of a sink into its error: it costs neither the cell nor the other
// sinks, and the run says so.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v (please report it; what was measured is kept, sparkrun export writes it again)\n%s", p, debug.Stack())
		}
	}()
	return call()
}

// collect returns the entries so far in the order of the plan.
func (r *run) collect() []result.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []result.Entry
	for i := range r.Plan.Cells {
		all = append(all, r.entries[r.Plan.Cells[i].Canonical]...)
	}
	return all
}

// writeSummary writes summary.json as it is now: after every cell, so that a crash
// leaves that of the cells before it.
func (r *run) writeSummary() {
	r.sinkMu.Lock()
	defer r.sinkMu.Unlock()
	r.mu.Lock()
	info := *r.info
	info.Servers = slices.Clone(r.info.Servers)
	r.mu.Unlock()
	info.Interrupted = r.Control.Interrupted()
	if info.Ended.IsZero() {
		info.Ended = time.Now()
	}
	entries := r.collect()
	thresholds, _ := result.Thresholds(r.Plan, entries, r.Baseline)
	if err := r.Store.WriteJSON("summary.json", result.NewSummary(&info, entries, thresholds)); err != nil {
		r.problem(err)
	}
}

// end writes the last of the run and decides its exit code.
func (r *run) end() *Report {
	r.info.Ended = time.Now()
	r.info.Interrupted = r.Control.Interrupted()
	r.info.Entries = r.collect()
	var err error
	if r.info.Thresholds, err = result.Thresholds(r.Plan, r.info.Entries, r.Baseline); err != nil && !r.info.Interrupted {
		r.problem(err)
	}
	var files []string
	if !r.ServersOnly {
		if err := r.Store.KeepContent(); err != nil {
			r.problem(err)
		}
		r.writeSummary()
		files = r.files()
	}
	code, reasons := r.verdict()
	ended := code
	if r.ServersOnly && code == exitInterrupted {
		ended = 1 // there is nothing to go on with
	}
	r.log(journal.Line{Type: journal.End, Exit: &ended})
	event := &Ended{ExitCode: code, Reasons: reasons, Files: files}
	if r.info.Interrupted && !r.ServersOnly {
		event.Resume = r.Resume
	}
	r.emit(Event{Type: EventRunEnded, Data: event})
	return &Report{Run: r.info, ExitCode: code, Reasons: reasons}
}

const exitInterrupted = 130

// verdict is product.md's list of exit codes: the first that applies decides, every one
// that does is named.
func (r *run) verdict() (code int, reasons []string) {
	add := func(c int, format string, args ...any) {
		if code == 0 {
			code = c
		}
		reasons = append(reasons, fmt.Sprintf(format, args...))
	}
	if r.info.Interrupted {
		add(exitInterrupted, "interrupted")
	}
	for _, p := range r.problems.run {
		add(1, "%s", p)
	}
	bad := []result.Verdict{result.Failed, result.Invalid, result.Skipped}
	if r.Strict {
		bad = append(bad, result.Suspect)
	}
	for i := range r.info.Entries {
		e := &r.info.Entries[i]
		if slices.Contains(bad, e.Verdict) && !e.ByRule {
			add(3, "%s is %s%s", e.Address, e.Verdict, why(e))
		}
	}
	for _, t := range r.info.Thresholds {
		if !t.Pass {
			add(4, "threshold %s is not met by %s: %s", t.Name, t.Address, t.Message)
		}
	}
	for _, p := range r.problems.cleanup {
		add(5, "clean-up is incomplete: %s", p)
	}
	return code, reasons
}

func why(e *result.Entry) string {
	switch {
	case e.Cause != "":
		return ": " + e.Cause
	case len(e.Marks) > 0:
		m := e.Marks[e.Worst()]
		return ": " + m.Name + ": " + m.Why
	}
	return ""
}

// files are the paths that people want to open.
func (r *run) files() []string {
	files := []string{r.Store.Path("summary.json")}
	for _, s := range r.Plan.Sinks {
		if p := r.Sinks[s.Address].Path(); p != "" {
			files = append(files, p)
		}
	}
	for _, kind := range []string{"requests", "events", "telemetry", "rows"} {
		if rows, _ := filepath.Glob(r.Store.Path(kind, "*")); len(rows) > 0 {
			files = append(files, r.Store.Path(kind))
		}
	}
	if _, err := os.Stat(r.Store.ContentPath()); err == nil {
		files = append(files, r.Store.ContentPath())
	}
	return files
}
