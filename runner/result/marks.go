package result

import (
	"fmt"
	"math"
	"slices"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/selftest"
)

// MarkDoc is a line of `sparkrun help reasons`.
type MarkDoc struct {
	Name     string
	Invalid  bool // a cell with it is invalid, not just suspect
	Sentence string
}

// Marks are all marks that this version gives.
func Marks() []MarkDoc {
	return []MarkDoc{
		{"client_limited", false, "This client sent late: p99 send lag over 10 ms, or over 1 % of the median TTFT if that is more."},
		{"network_limited", false, "The network is far: p99 of the connections' round trips (the kernel's; else of connect_ms) over 5 % of the median TTFT, and over 0.2 ms (2 ms)."},
		{"tunnelled", false, "Requests went through an SSH connection (access = \"ssh_tunnel\"), whose one cipher and window all streams share."},
		{"rebooted", true, "A node of the server was started anew while the cell was measured."},
		{"shared_client", false, "Other cells were loading from this client at the same time (--parallelism)."},
		{"worker_lost", true, "A worker of the generator was lost: its part of the load was not sent, or what came of it is not known."},
		{"server_restarted", true, "The server's own counters began anew while the cell was measured: another start, with a cold cache and graphs to capture."},
		{"foreign_traffic", true, "The server's own counters have over 1 % more requests than were sent: others used it."},
		{"count_mismatch", true, "The output tokens that the server counted differ from those of the answers by more than 1 %."},
		{"throttled", false, "A GPU was slowed down for heat or power (clock event reasons), or was busy in a low-power state: under 1000 MHz and 35 W."},
		{"not_warm", false, "A warm-up that was to go on until it is stable was ended by a limit before."},
		{"not_steady", false, "The output-token rate has a trend over the window, or requests piled up in an open loop."},
		{"errors", false, "Fewer than 99 % of the requests succeeded; below 90 % the cell is invalid."},
		{"too_few", false, "Fewer than 30 requests succeeded: percentiles say little."},
		{"exhausted", false, "The dataset ended before the phase did."},
		{"cache_state", true, "The engine's hit counters contradict the declared state of the prefix cache; hits inside a conversation, and on what prompts of a cell share, don't count."},
		{"length_mismatch", false, "Answers are off the length that was forced by more than 2 %."},
		{"answers_differ", false, "Answers were not those of the dataset, and the scenario asked to verify them."},
		{"batched_stream", false, "The stream had far fewer events than tokens: TTFT and ITL are those of batches."},
		{"search_bound", false, "A search ended at an end of its range: the highest value that meets the goal is outside."},
		{"not_monotonic", false, "A search met its goal above a value at which it had missed it."},
		{beyondSelftest, false, "More streams or events than this machine's selftest has shown it to measure within 1 ms: a note, the verdict stays."},
		{"interrupted", false, "The cell was interrupted; what is shown is from the part that ran."},
	}
}

// beyondSelftest is the one mark that says nothing against a cell, only that nobody knows.
const beyondSelftest = "beyond_selftest"

// Note reports whether a mark leaves the verdict as it is.
func Note(mark string) bool { return mark == beyondSelftest }

// The limits of the marks (metrics.md, "Marks").
const (
	lagLimitMS     = 10.0
	lagShare       = 0.01
	connectShare   = 0.05
	connectLimitMS = 2.0 // below it a connect is this machine's own jitter, as on loopback
	rttLimitMS     = 0.2 // the kernel's round trip has less of that in it
	successSuspect = 0.99
	successInvalid = 0.9
	fewRequests    = 30
	lengthShare    = 0.02
	batchedTokens  = 4.0 // tokens an event; speculative decoding stays below
	inFlightGrowth = 1.2
)

func marks(e *Entry, w *window, out load.Outcome) []Mark {
	found := []Mark{}
	mark := func(name, format string, args ...any) {
		found = append(found, Mark{name, fmt.Sprintf(format, args...)})
	}

	ttft := e.Metrics["ttft_ms"].P50
	if lag := high(e.Metrics["send_lag_ms"]); lag != nil && ttft != nil && *lag > math.Max(lagLimitMS, lagShare**ttft) {
		mark("client_limited", "this client sent requests up to %.3g ms late (p99), more than its numbers can bear: give it more CPU, or less load", *lag)
	}
	if trip, limit := w.roundTrip(e); trip != nil && ttft != nil && *trip > math.Max(limit, connectShare**ttft) {
		mark("network_limited", "a round trip to the server took %.3g ms (p99), over 5 %% of the median TTFT of %.3g ms: measure from nearer", *trip, *ttft)
	}
	if e.Window.Steady != nil && !*e.Window.Steady {
		mark("not_steady", "the output-token rate %s by %s over the window (p = %.2g): lengthen warmup", map[bool]string{true: "rose", false: "fell"}[*e.Window.Drift > 0], percent(math.Abs(*e.Window.Drift)), *e.Window.TrendP)
	} else if grew, from, to := w.piledUp(); grew {
		steady := false
		e.Window.Steady = &steady
		mark("not_steady", "requests in flight grew from %.3g to %.3g over the window: the rate is more than the server bears", from, to)
	}
	if lost := w.lostIn(out); len(lost) > 0 {
		mark("worker_lost", "%d of %d workers lost; number %d on %s: %s", len(lost), len(out.Workers), lost[0].Rank, lost[0].Host, lost[0].Lost)
	}
	if why := w.ran.Throttled; why != "" {
		mark("throttled", "%s", why)
	}
	if name := w.cold(out); name != "" {
		mark("not_warm", "phase %s was still getting faster or slower when a limit ended it: give it more time", name)
	}
	if r := e.Requests.SuccessRate; r != nil && *r < successSuspect {
		mark("errors", "only %s of the requests succeeded", percent(*r))
	}
	if e.Requests.OK < fewRequests {
		mark("too_few", "%d requests succeeded, fewer than %d", e.Requests.OK, fewRequests)
	}
	if out.Exhausted {
		mark("exhausted", "the dataset ended before the phase did: set when_exhausted, or more conversations")
	}
	if off, asked, got := w.lengthMismatch(); off {
		mark("length_mismatch", "%.4g output tokens were forced on average, %.4g came: the server does not honour the length", asked, got)
	}
	if differ, compared := w.answersDiffer(); differ > 0 {
		mark("answers_differ", "%d of %d answers were not the dataset's: rows with answer_matches 0", differ, compared)
	}
	if t := e.Metrics["tokens_per_event"].P50; t != nil && *t >= batchedTokens {
		mark("batched_stream", "a stream event had %.3g tokens (median): TTFT and ITL are those of batches", *t)
	}
	if out.Interrupted {
		mark("interrupted", "the run was interrupted while this was measured")
	}
	return found
}

// roundTrip is the p99 of the connections' round trips in ms, and from where on it counts:
// the kernel's where it has measured one, else the time that connecting took, in which
// this machine's own scheduling is.
func (w *window) roundTrip(e *Entry) (ms *float64, limit float64) {
	var trips []float64
	for _, rec := range w.ok {
		if rec.RoundTrip > 0 {
			trips = append(trips, float64(rec.RoundTrip)/1e6)
		}
	}
	if len(trips) > 0 {
		return high(NewStats(trips)), rttLimitMS
	}
	return high(e.Metrics["connect_ms"]), connectLimitMS
}

// high is the p99, or the maximum where there are too few values for one.
func high(s *Stats) *float64 {
	if s.P99 != nil {
		return s.P99
	}
	return s.Max
}

// lengthMismatch compares the lengths that were forced with those that came.
func (w *window) lengthMismatch() (off bool, asked, got float64) {
	n := 0.0
	for _, rec := range w.ok {
		if rec.AskedMin > 0 && rec.AskedMin == rec.AskedMax && rec.OutputTokens >= 0 && rec.TokenSource != record.TokensEvents {
			asked += float64(rec.AskedMax)
			got += float64(rec.OutputTokens)
			n++
		}
	}
	if n == 0 {
		return false, 0, 0
	}
	return math.Abs(got-asked) > lengthShare*asked, asked / n, got / n
}

// cold is the last phase before this one that was to go on until it is stable and was not.
func (w *window) cold(out load.Outcome) string {
	for i := w.phase - 1; i >= 0; i-- {
		if w.cell.Phases[i].UntilStable {
			if out.Phases[i].Unstable {
				return w.cell.Phases[i].Name
			}
			break
		}
	}
	return ""
}

// answersDiffer counts the verified answers that were not the dataset's.
func (w *window) answersDiffer() (differ, compared int) {
	for _, rec := range w.ok {
		if rec.Matches != record.NotCompared {
			compared++
		}
		if rec.Matches == record.Differs {
			differ++
		}
	}
	return differ, compared
}

// piledUp reports whether the requests in flight of an open loop grew by more than a
// fifth from the first half of the window to the second.
func (w *window) piledUp() (grew bool, from, to float64) {
	if w.cell.Phases[w.phase].Rate == nil || w.seconds() < steadyBins {
		return false, 0, 0
	}
	middle := (w.ran.Start + w.ran.End) / 2
	first, second := *w, *w
	first.ran.End, second.ran.Start = middle, middle
	for i := range w.all {
		from += first.overlap(&w.all[i])
		to += second.overlap(&w.all[i])
	}
	from, to = from/first.seconds(), to/second.seconds()
	return to > inFlightGrowth*from && to-from > 1, from, to
}

// verdict is product.md's: failed, invalid, suspect, ok.
func verdict(e *Entry) Verdict {
	if e.Requests.OK == 0 {
		return Failed
	}
	if r := e.Requests.SuccessRate; r != nil && *r < successInvalid {
		return Invalid
	}
	worst := OK
	for _, m := range e.Marks {
		if Note(m.Name) {
			continue
		}
		worst = Suspect
		if invalidates(m.Name) {
			return Invalid
		}
	}
	return worst
}

// Worst is the index of the mark that decided the verdict.
func (e *Entry) Worst() int {
	for i, m := range e.Marks {
		if e.Verdict == Invalid && (invalidates(m.Name) || m.Name == "errors") || e.Verdict == Suspect && !Note(m.Name) {
			return i
		}
	}
	return 0
}

func invalidates(mark string) bool {
	return slices.ContainsFunc(Marks(), func(doc MarkDoc) bool { return doc.Name == mark && doc.Invalid })
}

// AddShared marks an entry whose cell loaded beside others.
func (e *Entry) AddShared(cells int) {
	e.Add("shared_client", fmt.Sprintf("up to %d cells loaded at a time", cells))
}

// Add marks an entry after the fact and judges it anew.
func (e *Entry) Add(name, why string) {
	e.Marks = append(e.Marks, Mark{name, why})
	if e.Verdict != Failed && e.Verdict != Skipped {
		e.Verdict = verdict(e)
	}
}

// Beyond notes where an entry had more load than the selftest of this machine (nil: none
// was made) has shown to be measured well.
func (e *Entry) Beyond(l *selftest.Limit) {
	if l == nil || e.Verdict == Failed || e.Verdict == Skipped {
		return
	}
	if c := e.Throughput["concurrency_achieved"]; c != nil && *c > float64(l.Streams) {
		e.Add(beyondSelftest, fmt.Sprintf("%.4g streams at a time; the selftest was good up to %d", *c, l.Streams))
		return
	}
	events, requests := e.Metrics["token_events"], e.Throughput["requests_per_s"]
	if events != nil && events.Mean != nil && requests != nil && *events.Mean**requests > l.EventsPerS {
		e.Add(beyondSelftest, fmt.Sprintf("%.4g token events/s; the selftest was good up to %.4g", *events.Mean**requests, l.EventsPerS))
	}
}
