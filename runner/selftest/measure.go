package selftest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// The schedule of the simulator that a selftest runs against.
const (
	TTFT = 150 * time.Millisecond
	ITL  = 30 * time.Millisecond
)

// Load is one load to measure.
type Load struct {
	Streams  int
	Together bool
	Hold     time.Duration // how long all streams are open at once
}

// arrive is how long the streams take to begin: evenly over whole gaps, and not so fast
// that their beginning is the load.
func (l Load) arrive() time.Duration {
	return max(30, time.Duration(l.Streams/50)) * ITL
}

// tokens are those of every stream: the last has begun and Hold is over before the first ends.
func (l Load) tokens() int64 { return int64((l.arrive() + l.Hold) / ITL) }

// prefix begins the ids of the load's requests.
func (l Load) prefix() string { return fmt.Sprintf("%d-", l.Streams) }

// Expect is how long the load takes.
func (l Load) Expect() time.Duration { return 2*l.arrive() + l.Hold + TTFT }

// Run puts the load on a simulator and returns what came of it. cpu reads the CPU time
// of this process.
func (l Load) Run(ctx context.Context, doer load.Doer, clock record.Clock, cpu func() time.Duration) (*Measured, error) {
	m := &Measured{Load: l, epoch: clock.Epoch.UnixNano()}
	before, gcBefore := cpu(), gcSeconds()
	_, err := load.Run(ctx, load.Config{
		Phases: []plan.Phase{{
			Name: "selftest", Measure: true, Requests: int64(l.Streams), Arrival: "constant", RateOf: "requests",
			Rate: curve(float64(l.Streams) / l.arrive().Seconds()), Drain: time.Minute,
		}},
		Request: plan.Request{IdleTimeout: 20 * time.Second},
		Source:  source{l.body()}, Doer: doer, Recorder: m, Clock: clock, Lead: load.Lead, IDPrefix: l.prefix(),
	})
	m.cpu = cpu() - before
	m.gc = gcSeconds() - gcBefore
	return m, err
}

func curve(level float64) *plan.Curve { return &plan.Curve{From: level, To: level} }

func (l Load) body() []byte {
	return fmt.Appendf(nil, `{"messages":[{"role":"user","content":"selftest"}],"stream":true,"stream_options":{"include_usage":true},"max_tokens":%d,"ignore_eos":true}`, l.tokens())
}

// source gives every request the same body.
type source struct{ body []byte }

func (s source) Open(int64) (load.Conversation, error) { return &turn{body: s.body}, nil }

type turn struct {
	body []byte
	said bool
}

func (t *turn) Turns() int { return 1 }

func (t *turn) Next(_ *record.Record, r *record.Request) (bool, error) {
	if t.said {
		return false, nil
	}
	t.said = true
	r.Body, r.DatasetRow, r.HistoryTokens, r.AskedMin = t.body, -1, -1, -1
	return true, nil
}

// gcSeconds is the CPU time that garbage collection has taken.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64 {
		return 0
	}
	return s[0].Value.Float64()
}

// Measured are a load's records, to be compared with the simulator's trace.
type Measured struct {
	Load
	epoch   int64
	records []record.Record
	cpu     time.Duration
	gc      float64
}

// Record keeps a record.
func (m *Measured) Record(r *record.Record) { m.records = append(m.records, *r) }

// Trace is what the simulator says of a request: when it took it, and when each token
// went to the socket (wall clock, ns).
type Trace struct {
	ID       string  `json:"id"`
	Accepted int64   `json:"accepted_ns"`
	Events   []int64 `json:"events_ns"`
}

// ReadTrace reads a simulator's trace.
func ReadTrace(in io.Reader) (map[string]Trace, error) {
	out := map[string]Trace{}
	lines := bufio.NewReaderSize(in, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var t Trace
			if err := json.Unmarshal(line, &t); err != nil {
				return nil, fmt.Errorf("read the simulator's trace, line %d: %w", n, err)
			}
			out[t.ID] = t
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the simulator's trace: %w", err)
		}
	}
}

// Compare makes a level of a load and the trace of its simulator.
func (m *Measured) Compare(truth map[string]Trace) (Level, error) {
	l := Level{Streams: m.Streams, Together: m.Together}
	var ttft, itl, lag, late []float64
	var kernel int
	first, last := int64(math.MaxInt64), int64(0)
	for i := range m.records {
		r := &m.records[i]
		if r.Status != record.OK {
			l.Failed++
			continue
		}
		t, ok := truth[r.ID]
		if !ok || len(t.Events) != len(r.Events) {
			return l, fmt.Errorf("request %s: the simulator sent %d tokens, %d came", r.ID, len(t.Events), len(r.Events))
		}
		lag = append(lag, float64(r.Sent-r.Scheduled)/1e6)
		if r.Stamp == record.StampKernel {
			kernel++
		}
		ttft = append(ttft, gap(m.epoch+r.Events[0].At, t.Events[0]))
		for j := 1; j < len(t.Events); j++ {
			itl = append(itl, gap(r.Events[j].At-r.Events[j-1].At, t.Events[j]-t.Events[j-1]))
			late = append(late, gap(t.Events[j]-t.Events[j-1], int64(ITL)))
		}
		l.Events += int64(len(r.Events))
		first, last = min(first, r.Events[0].At), max(last, r.LastToken)
	}
	l.Held = m.held()
	l.TTFTErrorMS, l.ITLErrorMS, l.SendLagMS, l.ServerLateMS = spread(ttft), spread(itl), spread(lag), spread(late)
	if last > first {
		l.EventsPerS = m.rate()
	}
	if m.cpu > 0 {
		l.EventsPerCPUS = float64(l.Events) / m.cpu.Seconds()
		l.GCShare = m.gc / m.cpu.Seconds()
	}
	if n := len(m.records) - l.Failed; n > 0 {
		l.KernelStampShare = float64(kernel) / float64(n)
	}
	return l, nil
}

// held is how many streams were open at once.
func (m *Measured) held() int {
	var ends []int64 // begins are positive, ends negative
	for i := range m.records {
		if r := &m.records[i]; r.Status == record.OK {
			ends = append(ends, r.Sent, -r.StreamEnd)
		}
	}
	slices.SortFunc(ends, func(a, b int64) int { return int(max(a, -a)/1000 - max(b, -b)/1000) })
	open, most := 0, 0
	for _, e := range ends {
		if e > 0 {
			open++
		} else {
			open--
		}
		most = max(most, open)
	}
	return most
}

// rate is the events a second while all streams were open.
func (m *Measured) rate() float64 {
	from, to := int64(0), int64(math.MaxInt64)
	for i := range m.records {
		if r := &m.records[i]; r.Status == record.OK {
			from, to = max(from, r.FirstToken), min(to, r.LastToken)
		}
	}
	if to <= from {
		return 0
	}
	n := 0
	for i := range m.records {
		for _, e := range m.records[i].Events {
			if e.At >= from && e.At < to {
				n++
			}
		}
	}
	return float64(n) / (float64(to-from) / 1e9)
}

// gap is how far two times in ns are apart, in ms.
func gap(a, b int64) float64 { return math.Abs(float64(a-b)) / 1e6 }

func spread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	slices.Sort(v)
	at := func(q float64) float64 { return math.Round(v[int(q*float64(len(v)-1))]*1e6) / 1e6 }
	return Spread{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// NewResult is the result of some levels.
func NewResult(version string, m Machine, quick bool, at time.Time, levels []Level) *Result {
	r := &Result{Schema: 1, Version: version, Time: at, Machine: m, Quick: quick, Levels: levels, Limit: limit(levels)}
	r.Limit.Time = at
	return r
}

// Sentence is what the limit means.
func (r *Result) Sentence() string {
	if r.Limit.Streams == 0 {
		return "This machine's error is over 1 ms (p99) at the smallest load: something else is using its processors, or it is too slow to measure from."
	}
	more := ""
	if r.Limit.Streams == r.Levels[len(r.Levels)-1].Streams {
		more = ", the largest that was tried"
	}
	return strings.Join([]string{
		"Times are within 1 ms (p99) up to ", strconv.Itoa(r.Limit.Streams), " streams and ",
		strconv.FormatFloat(math.Round(r.Limit.EventsPerS), 'f', 0, 64), " token events/s", more, ".",
	}, "")
}
