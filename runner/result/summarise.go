package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// Summarise makes the entries of a cell, one for each measured phase, from its records.
func Summarise(c *plan.Cell, s *plan.Server, records []record.Record, out load.Outcome) []Entry {
	summarise := summarisePhases
	if c.Search != nil {
		summarise = summariseSearch
	}
	entries := summarise(c, s, records, out)
	for i := range entries {
		if out.Cache != nil {
			entries[i].cached(out.Cache)
		}
		if out.Counted != nil {
			entries[i].counted(out.Counted)
		}
	}
	if len(entries) == 0 && out.Interrupted {
		return SkippedEntries(c, s, "interrupted before anything was measured")
	}
	return entries
}

func summarisePhases(c *plan.Cell, s *plan.Server, records []record.Record, out load.Outcome) []Entry {
	var entries []Entry
	for i := range c.Phases {
		if !c.Phases[i].Measure || i >= len(out.Phases) {
			continue // an interrupted or aborted cell may not have come to this phase
		}
		e := newEntry(c, s, c.Phases[i].Name)
		w := &window{cell: c, phase: i, ran: out.Phases[i], all: records, read: map[string][]float64{}}
		w.fill(&e, out.Interrupted)
		e.Workers = workersOf(out)
		e.Marks = marks(&e, w, out)
		e.Verdict = verdict(&e)
		entries = append(entries, e)
	}
	return entries
}

// cached says what was done about the prefix cache, and marks what contradicts it.
func (e *Entry) cached(c *load.Cache) {
	e.CacheMethod, e.CacheHitShare, e.CacheCheck = c.Method, c.HitShare, c.Check
	if c.Why != "" {
		e.Add("cache_state", c.Why)
	}
}

// Conclude judges what was measured of a cell by how it ended: "succeeded", "failed" or
// "interrupted".
func Conclude(entries []Entry, outcome, cause string) {
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Verdict == Skipped:
		case outcome == "failed":
			e.Verdict, e.Cause = Failed, cause
		case outcome == "interrupted" && e.Requests.OK == 0:
			e.Verdict, e.Cause = Skipped, "interrupted before a request succeeded"
		}
	}
}

// FromTry says of entries that an earlier try of their run measured them: on another start
// of the server, which its name alone does not tell.
func FromTry(entries []Entry, try int) {
	for i := range entries {
		entries[i].Session = fmt.Sprintf("%s (try %d)", entries[i].Session, try)
	}
}

// FailedEntries are the entries of a cell that could not be measured.
func FailedEntries(c *plan.Cell, s *plan.Server, cause string) []Entry {
	return without(c, s, Failed, cause)
}

// SkippedEntries are the entries of a cell that was not tried.
func SkippedEntries(c *plan.Cell, s *plan.Server, cause string) []Entry {
	return without(c, s, Skipped, cause)
}

func without(c *plan.Cell, s *plan.Server, v Verdict, cause string) []Entry {
	var entries []Entry
	for i := range c.Phases {
		if c.Phases[i].Measure {
			e := newEntry(c, s, c.Phases[i].Name)
			e.Verdict, e.Cause = v, cause
			entries = append(entries, e)
		}
	}
	return entries
}

func newEntry(c *plan.Cell, s *plan.Server, phase string) Entry {
	e := Entry{
		Address: c.Name, Benchmark: c.Address.Benchmark, Server: c.Server, Framework: s.Framework, Model: s.Model,
		Dataset: c.Dataset, Matrix: map[string]string{}, Axes: []string{}, Repeat: c.Address.Repeat, Session: c.Session, Phase: phase, Digest: c.Digest, Workload: c.Workload, Cache: c.Cache,
		Marks: []Mark{}, Metrics: map[string]*Stats{}, Throughput: map[string]*float64{}, WholeRun: map[string]*float64{},
		Goodput: map[string]*Goodput{}, Telemetry: map[string]*float64{}, Errors: []ErrorCount{},
	}
	e.Requests.ByStatus = map[string]int64{}
	for _, a := range c.Address.Axes {
		e.Matrix[a.Name] = a.Value
		e.Axes = append(e.Axes, a.Name)
	}
	return e
}

// window is one measured phase: its own requests, and what of all requests of the cell
// happened between its start and its end.
type window struct {
	cell  *plan.Cell
	phase int
	ran   load.PhaseOutcome
	all   []record.Record

	ok     []*record.Record     // of this phase
	read   map[string][]float64 // fields of ok that programs have read
	series []float64            // output tokens of each second
}

func (w *window) seconds() float64 { return float64(w.ran.End-w.ran.Start) / 1e9 }

func (w *window) inside(at int64) bool { return at >= w.ran.Start && at < w.ran.End }

func (w *window) fill(e *Entry, interrupted bool) {
	e.Window.Seconds = w.seconds()
	if w.ran.Late > 0 {
		e.Window.LateMS = ptr(float64(w.ran.Late) / 1e6)
	}
	e.Requests = w.requests(interrupted)
	e.Errors = w.errors()
	w.metrics(e)
	w.throughput(e)
	w.wholeRun(e)
	w.goodput(e)
	e.Turns = w.turns()
	e.observed(w.ran)
}

// requests counts the phase's requests and keeps the ok ones.
func (w *window) requests(interrupted bool) Requests {
	n := Requests{ByStatus: map[string]int64{}}
	var judged int64
	for i := range w.all {
		rec := &w.all[i]
		if rec.Phase != w.phase {
			continue
		}
		n.Scheduled++
		n.ByStatus[rec.Status.String()]++
		if rec.Status == record.OK {
			w.ok = append(w.ok, rec)
		}
		// What an interrupt cut did not fail.
		if !interrupted || rec.Status != record.Cancelled {
			judged++
		}
	}
	n.OK = int64(len(w.ok))
	n.Failed = n.Scheduled - n.OK
	if judged > 0 {
		n.SuccessRate = ptr(float64(n.OK) / float64(judged))
	}
	return n
}

// errors is the error table, most frequent first.
func (w *window) errors() []ErrorCount {
	table := []ErrorCount{}
	for i := range w.all {
		rec := &w.all[i]
		if rec.Phase != w.phase || rec.Status == record.OK {
			continue
		}
		name := rec.Status.String()
		at := slices.IndexFunc(table, func(e ErrorCount) bool { return e.Status == name })
		if at < 0 {
			at = len(table)
			table = append(table, ErrorCount{Status: name, Message: rec.Error})
		}
		table[at].Count++
	}
	slices.SortStableFunc(table, func(a, b ErrorCount) int { return cmp.Compare(b.Count, a.Count) })
	return table
}

// metrics summarises every field over the ok requests, the pooled gaps, and the
// scenario's own metrics.
func (w *window) metrics(e *Entry) {
	sorted := &sorter{}
	into := make([]float64, len(w.ok)) // one for all: stats sorts it
	for _, f := range fields {
		if f.Stat {
			e.Metrics[f.Name] = sorted.stats(column(w.ok, into, f.Name))
		}
	}
	total := 0
	for _, rec := range w.ok {
		total += max(0, len(rec.Events)-1)
	}
	e.Metrics[metric.ITL.Name] = sorted.gaps(total, func(yield func(int64)) {
		for _, rec := range w.ok {
			for i := 1; i < len(rec.Events); i++ {
				yield(rec.Events[i].At - rec.Events[i-1].At)
			}
		}
	})
	for _, m := range w.cell.Metrics {
		e.Metrics[m.Name] = sorted.stats(w.eval(m.Program))
		if e.Units == nil {
			e.Units = map[string]string{}
		}
		e.Units[m.Name] = m.Unit
	}
}

// column fills in a field of some requests.
func column(records []*record.Record, into []float64, name string) []float64 {
	value := values[name]
	for i, rec := range records {
		into[i] = value(rec)
	}
	return into
}

// eval runs a program over the ok requests. Columns that a program has read are kept for
// the next.
func (w *window) eval(p *metric.Program) []float64 {
	cols := make([][]float64, len(p.Columns))
	for i, name := range p.Columns {
		if w.read[name] == nil {
			w.read[name] = column(w.ok, make([]float64, len(w.ok)), name)
		}
		cols[i] = w.read[name]
	}
	return p.Eval(cols, len(w.ok))
}

// throughput counts what arrived inside the window, from whichever phase it was sent in.
func (w *window) throughput(e *Entry) {
	seconds := w.seconds()
	if seconds <= 0 {
		return
	}
	w.series = make([]float64, int(seconds))
	quiet := newSilence(w.ran.Start, w.ran.End)
	var requests, output, input, busy float64
	for i := range w.all {
		rec := &w.all[i]
		busy += w.overlap(rec)
		quiet.record(rec)
		if rec.Status != record.OK {
			continue
		}
		if w.inside(rec.LastToken) {
			requests++
		}
		if first := firstArrival(rec); w.inside(first) && rec.InputTokens > 0 {
			input += float64(rec.InputTokens)
		}
		arrivals(rec, func(at int64, tokens float64) {
			if w.inside(at) {
				output += tokens
				if second := int((at - w.ran.Start) / int64(time.Second)); second < len(w.series) {
					w.series[second] += tokens
				}
			}
		})
	}
	e.Throughput["requests_per_s"] = ptr(requests / seconds)
	e.Throughput["output_tokens_per_s"] = ptr(output / seconds)
	e.Throughput["input_tokens_per_s"] = ptr(input / seconds)
	e.Throughput["total_tokens_per_s"] = ptr((input + output) / seconds)
	e.Throughput["concurrency_achieved"] = ptr(busy / seconds)
	if ns, known := quiet.longest(); known {
		e.Window.QuietMS = ptr(float64(ns) / 1e6)
	}
	if t, judged := trendOf(w.series); judged {
		is := t.steady()
		e.Window.Steady, e.Window.Drift, e.Window.TrendP = &is, ptr(t.drift), ptr(t.p)
	}
}

// overlap is how many seconds of the window a request was in flight.
func (w *window) overlap(rec *record.Record) float64 {
	if rec.Sent == 0 {
		return 0
	}
	end := max(rec.StreamEnd, rec.LastToken)
	return float64(max(0, min(end, w.ran.End)-max(rec.Sent, w.ran.Start))) / 1e9
}

// firstArrival is when the prompt had been worked off: the first token, or the answer
// where it did not come as a stream.
func firstArrival(rec *record.Record) int64 {
	if rec.FirstToken != 0 {
		return rec.FirstToken
	}
	return rec.LastToken
}

// arrivals yields the output tokens as they came: the first event's, and the others
// spread evenly over the events after it, as a stream does not say which had how many.
func arrivals(rec *record.Record, yield func(at int64, tokens float64)) {
	output := float64(max(0, rec.OutputTokens))
	n := len(rec.Events)
	switch {
	case n == 0 && rec.FirstToken != 0 && rec.LastToken > rec.FirstToken:
		// Events were not kept: as if they had come evenly, which holds for the total.
		first := math.Min(output, float64(max(1, rec.FirstEventTokens)))
		yield(rec.FirstToken, first)
		rest := int64(output - first)
		for i := int64(1); i <= rest; i++ {
			yield(rec.FirstToken+(rec.LastToken-rec.FirstToken)*i/rest, 1)
		}
	case n == 0:
		yield(rec.LastToken, output)
	case n == 1:
		yield(rec.Events[0].At, output)
	default:
		first := math.Min(output, float64(max(1, rec.FirstEventTokens)))
		yield(rec.Events[0].At, first)
		for _, ev := range rec.Events[1:] {
			yield(ev.At, (output-first)/float64(n-1))
		}
	}
}

// wholeRun is the phase's own requests over their own time: first send to last arrival.
func (w *window) wholeRun(e *Entry) {
	var first, last int64
	var output, input float64
	for _, rec := range w.ok {
		if first == 0 || rec.Sent < first {
			first = rec.Sent
		}
		last = max(last, rec.LastToken)
		output += float64(max(0, rec.OutputTokens))
		input += float64(max(0, rec.InputTokens))
	}
	seconds := float64(last-first) / 1e9
	if seconds <= 0 {
		return
	}
	e.WholeRun["requests_per_s"] = ptr(float64(len(w.ok)) / seconds)
	e.WholeRun["output_tokens_per_s"] = ptr(output / seconds)
	e.WholeRun["input_tokens_per_s"] = ptr(input / seconds)
	e.WholeRun["total_tokens_per_s"] = ptr((input + output) / seconds)
}

// goodput judges the phase's requests by each slo and by all of them together.
func (w *window) goodput(e *Entry) {
	if len(w.cell.SLOs) == 0 {
		return
	}
	all := make([]bool, len(w.ok))
	for i := range all {
		all[i] = true
	}
	add := func(name string, met func(i int) bool) {
		var total, inside float64
		for i, rec := range w.ok {
			if met(i) {
				total++
				if w.inside(rec.LastToken) {
					inside++
				}
			}
		}
		g := &Goodput{}
		if w.seconds() > 0 {
			g.RequestsPerS = ptr(inside / w.seconds())
		}
		if e.Requests.Scheduled > 0 {
			g.Attainment = ptr(total / float64(e.Requests.Scheduled))
		}
		e.Goodput[name] = g
	}
	for _, s := range w.cell.SLOs {
		met := w.eval(s.Program)
		for i := range all {
			all[i] = all[i] && met[i] == 1
		}
		add(s.Name, func(i int) bool { return met[i] == 1 })
	}
	add("all", func(i int) bool { return all[i] })
}

// NewSummary is summary.json as of now.
func NewSummary(info *Run, entries []Entry, thresholds []ThresholdResult) *Summary {
	if entries == nil {
		entries = []Entry{}
	}
	if thresholds == nil {
		thresholds = []ThresholdResult{}
	}
	if info.Servers == nil {
		info.Servers = []Fingerprint{}
	}
	return &Summary{Schema: 1, Run: *info, Cells: entries, Repeats: RepeatsOf(entries), Servers: CompareServers(entries), Thresholds: thresholds}
}

func ptr(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

// percent prints a share as people read it.
func percent(f float64) string { return fmt.Sprintf("%.4g %%", 100*f) }
