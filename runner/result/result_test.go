package result

import (
	"math"
	"slices"
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/selftest"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

const msec = int64(1e6)

// stream is a hand-made request: sent at sent ms, token events at the given ms, so many
// output tokens, the last byte 2 ms after the last event.
func stream(sent int64, output int32, events ...int64) record.Record {
	r := record.Record{
		Scheduled: (sent - 1) * msec, Sent: sent * msec, InputTokens: 100, OutputTokens: output, CachedTokens: 16, ReasoningTokens: -1,
		FirstEventTokens: 1, HistoryTokens: 40, TokenSource: record.TokensUsage, AskedMin: -1, AskedMax: -1, DatasetRow: -1,
	}
	for _, e := range events {
		r.Events = append(r.Events, record.Event{At: e * msec})
	}
	if n := len(events); n > 0 {
		r.FirstEvent = (events[0] - 1) * msec
		r.FirstToken, r.FirstOut, r.LastToken = events[0]*msec, events[0]*msec, events[n-1]*msec
		r.StreamEnd = (events[n-1] + 2) * msec
	}
	return r
}

func TestFieldsOfARequest(t *testing.T) {
	// Sent at 100 ms, a role chunk at 149, tokens at 150, 160, 170 and 200; 5 tokens by usage.
	whole := stream(100, 5, 150, 160, 170, 200)
	// One token: no TPOT, no gap.
	one := stream(100, 1, 150)
	// A whole answer in one event: TTFT and latency, no TPOT although there are tokens.
	batch := stream(100, 8, 150)
	// Speculative decoding: the first event has 3 of 9 tokens, by continuous usage.
	spec := stream(100, 9, 150, 180, 210)
	spec.FirstEventTokens = 3
	// Not streamed: the answer at 300 ms.
	plain := record.Record{Sent: 100 * msec, LastToken: 300 * msec, StreamEnd: 300 * msec, OutputTokens: 10, InputTokens: -1, HistoryTokens: -1, CachedTokens: -1, ReasoningTokens: -1, FirstEventTokens: -1}
	// Thinks until 180.
	thinks := stream(100, 5, 150, 160, 180)
	thinks.FirstOut, thinks.ReasoningTokens = 180*msec, 2
	nan := math.NaN()
	for _, c := range []struct {
		name  string
		rec   record.Record
		field string
		want  float64
	}{
		{"whole", whole, "ttfr_ms", 49},
		{"whole", whole, "ttft_ms", 50},
		{"whole", whole, "ttfo_ms", 50},
		{"whole", whole, "tpot_ms", 12.5}, // (200 − 150) / (5 − 1)
		{"whole", whole, "latency_ms", 100},
		{"whole", whole, "response_time_ms", 101}, // from when it was due
		{"whole", whole, "stream_end_ms", 102},
		{"whole", whole, "send_lag_ms", 1},
		{"whole", whole, "stall_ms", 30},
		{"whole", whole, "token_events", 4},
		{"whole", whole, "tokens_per_event", 1.25},
		{"whole", whole, "output_tokens_per_s_per_user", 80},
		{"whole", whole, "approx_cached_percent", 40},
		{"whole", whole, "cached_tokens", 16},
		{"whole", whole, "reasoning_tokens", nan},
		{"whole", whole, "dataset_row", nan},
		{"one token", one, "ttft_ms", 50},
		{"one token", one, "tpot_ms", nan},
		{"one token", one, "stall_ms", nan},
		{"one event", batch, "tpot_ms", nan},
		{"one event", batch, "tokens_per_event", 8},
		{"speculative", spec, "tpot_ms", 10}, // 60 / (9 − 3)
		{"not streamed", plain, "ttft_ms", nan},
		{"not streamed", plain, "tpot_ms", nan},
		{"not streamed", plain, "latency_ms", 200},
		{"not streamed", plain, "input_tokens", nan},
		{"thinks", thinks, "ttft_ms", 50},
		{"thinks", thinks, "ttfo_ms", 80},
		{"thinks", thinks, "reasoning_tokens", 2},
	} {
		got := values[c.field](&c.rec)
		if !(got == c.want || math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %s is %v, want %v", c.name, c.field, got, c.want)
		}
	}
	for _, f := range Fields() {
		if (f.Text == nil) == (f.Value == nil) {
			t.Errorf("field %s of the registry has no value, or two", f.Name)
		}
	}
}

func TestStats(t *testing.T) {
	// numpy.percentile([1,2,3,4,10], …): 25 → 2, 50 → 3, 75 → 4, 90 → 7.6, 95 → 8.8; sample deviation √12.5.
	s := NewStats([]float64{10, 4, math.NaN(), 1, 3, 2})
	for name, want := range map[string]float64{"count": 5, "mean": 4, "std": math.Sqrt(12.5), "min": 1, "p25": 2, "p50": 3, "p75": 4, "p90": 7.6, "p95": 8.8, "max": 10} {
		if got := s.value(name); got == nil || math.Abs(*got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if s.Undefined != 1 || s.P99 != nil {
		t.Errorf("undefined %d; the p99 of five values is %v, want none", s.Undefined, s.P99)
	}
	if one := NewStats([]float64{7}); one.Std != nil || *one.P50 != 7 {
		t.Errorf("one value: %+v", one)
	}
	if none := NewStats(nil); none.Mean != nil || none.Count != 0 {
		t.Errorf("no value: %+v", none)
	}
}

func cellOf(slos ...plan.SLO) *plan.Cell {
	return &plan.Cell{Address: addr.Cell{Benchmark: "b", Repeat: 1}, Name: "benchmark.b#1", SLOs: slos,
		Phases: []plan.Phase{{Name: "warmup"}, {Name: "steady", Measure: true}}}
}

// below is the slo column < limit.
func below(name, column string, limit float64, null int) plan.SLO {
	return plan.SLO{Name: name, Program: &metric.Program{Columns: []string{column}, Consts: []float64{limit}, Depth: 2, Bool: true,
		Code: []metric.Instr{{Op: metric.Col}, {Op: metric.Const}, {Op: metric.Lt, Arg: null}}}}
}

// TestWindow is a window from 1 s to 3 s with warmup's and its own requests around its
// borders. Hand-worked:
//
//	a, warmup:  sent  900, tokens at 950, 1050, 1150; 3 tokens: two of them inside
//	b, steady:  sent 1000, tokens at 1100, 1200, 1300, 1400; 4 tokens: all inside
//	c, steady:  sent 2000, tokens at 2900, 3100; 3 tokens: 1 inside, the end outside
//	d, steady:  HTTP 500
//	e, steady:  sent 2500, one event at 2600 with all of its 6 tokens
func TestWindow(t *testing.T) {
	a, b, c, e := stream(900, 3, 950, 1050, 1150), stream(1000, 4, 1100, 1200, 1300, 1400), stream(2000, 3, 2900, 3100), stream(2500, 6, 2600)
	d := record.Record{Sent: 2000 * msec, StreamEnd: 2100 * msec, Status: 500, Error: "HTTP 500: no", InputTokens: -1, OutputTokens: -1}
	for _, r := range []*record.Record{&b, &c, &d, &e} {
		r.Phase = 1
	}
	out := load.Outcome{Phases: []load.PhaseOutcome{{Name: "warmup", Start: 0, End: 1000 * msec}, {Name: "steady", Measure: true, Start: 1000 * msec, End: 3000 * msec}}}
	cell := cellOf(below("fast", "ttft_ms", 500, metric.NullIsFalse), below("smooth", "tpot_ms", 150, metric.NullIsTrue))
	entries := Summarise(cell, &plan.Server{}, []record.Record{a, b, c, d, e}, out)
	if len(entries) != 1 || entries[0].Phase != "steady" {
		t.Fatalf("%+v", entries)
	}
	x := &entries[0]
	for path, want := range map[string]float64{
		"window.seconds":        2,
		"window.quiet_ms":       600, // 2000, when c and d are sent, to e's token; nothing is in flight from 1402 on
		"requests.scheduled":    4,
		"requests.ok":           3,
		"requests.failed":       1,
		"requests.success_rate": 0.75,
		"requests_per_s":        1.5,       // a, b and e end inside
		"output_tokens_per_s":   13.0 / 2,  // 2 + 4 + 1 + 6
		"input_tokens_per_s":    300.0 / 2, // b, c and e: a's first token came before
		"total_tokens_per_s":    313.0 / 2,
		// In flight: a 1000–1152, b 1000–1402, c 2000–3000, d 2000–2100, e 2500–2602.
		"concurrency_achieved":          (0.152 + 0.402 + 1 + 0.1 + 0.102) / 2,
		"whole_run.requests_per_s":      3 / 2.1, // 1000 to 3100
		"whole_run.output_tokens_per_s": 13 / 2.1,
		"ttft_ms.count":                 3,
		"ttft_ms.p50":                   100, // 100, 900, 100
		"ttft_ms.max":                   900,
		"tpot_ms.count":                 2, // b 100, c 200/2; e has one event
		"tpot_ms.mean":                  100,
		"itl_ms.count":                  4, // 100, 100, 100 of b; 200 of c
		"itl_ms.mean":                   125,
		"goodput.fast.requests_per_s":   1,       // b and e
		"goodput.fast.slo_attainment":   2.0 / 4, // of all four
		"goodput.smooth.slo_attainment": 3.0 / 4, // e has no TPOT: met
		"goodput.all.slo_attainment":    2.0 / 4,
	} {
		if got := x.Value(path); got == nil || math.Abs(*got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", path, got, want)
			if got != nil {
				t.Log(*got)
			}
		}
	}
	if len(x.Errors) != 1 || x.Errors[0] != (ErrorCount{"http_500", 1, "HTTP 500: no"}) || x.Requests.ByStatus["http_500"] != 1 {
		t.Errorf("errors %+v", x.Errors)
	}
	if x.Verdict != Invalid {
		t.Errorf("verdict %s with a success rate of 0.75", x.Verdict)
	}
}

// TestEveryMark provokes each mark; one that nothing provokes is not in the list.
func TestEveryMark(t *testing.T) {
	many := func(n int, change func(i int, r *record.Record)) []record.Record {
		var out []record.Record
		for i := range n {
			at := 1000 + int64(i)*10
			r := stream(at, 3, at+50, at+60, at+70)
			r.Phase, r.Scheduled, r.AskedMin, r.AskedMax = 1, r.Sent, 3, 3
			change(i, &r)
			out = append(out, r)
		}
		return out
	}
	same := func(int, *record.Record) {}
	normal := load.Outcome{Phases: []load.PhaseOutcome{{}, {Start: 1000 * msec, End: 5000 * msec}}}
	got := map[string]bool{}
	run := func(want string, cell *plan.Cell, records []record.Record, out load.Outcome) {
		entries := Summarise(cell, &plan.Server{}, records, out)
		found := false
		for _, m := range entries[0].Marks {
			found = found || m.Name == want
			got[m.Name] = true
		}
		if want != "" && !found {
			t.Errorf("%s is not given: %+v", want, entries[0].Marks)
		}
		if want == "" && len(entries[0].Marks) > 0 {
			t.Errorf("a good cell has marks %+v", entries[0].Marks)
		}
	}
	run("", cellOf(), many(200, same), normal)
	run("client_limited", cellOf(), many(200, func(_ int, r *record.Record) { r.Scheduled -= 30 * msec }), normal)
	run("network_limited", cellOf(), many(200, func(_ int, r *record.Record) { r.Connect = 20 * msec }), normal)
	run("network_limited", cellOf(), many(200, func(_ int, r *record.Record) { r.RoundTrip = 20 * msec }), normal)
	// The kernel's round trip is the network's, whatever our own scheduler did to the connect.
	run("", cellOf(), many(200, func(_ int, r *record.Record) { r.Connect, r.RoundTrip = 20*msec, msec/20 }), normal)
	run("errors", cellOf(), many(200, func(i int, r *record.Record) {
		if i%20 == 0 {
			r.Status = 500
		}
	}), normal)
	run("too_few", cellOf(), many(10, same), normal)
	run("length_mismatch", cellOf(), many(200, func(_ int, r *record.Record) { r.AskedMin, r.AskedMax = 9, 9 }), normal)
	run("batched_stream", cellOf(), many(200, func(_ int, r *record.Record) { r.OutputTokens, r.AskedMin, r.AskedMax = 90, 90, 90 }), normal)
	run("answers_differ", cellOf(), many(200, func(i int, r *record.Record) {
		r.Matches = record.Same
		if i == 7 {
			r.Matches = record.Differs
		}
	}), normal)
	cold := cellOf()
	cold.Phases[0].UntilStable = true
	unstable := normal
	unstable.Phases = append([]load.PhaseOutcome{}, normal.Phases...)
	unstable.Phases[0].Unstable = true
	run("not_warm", cold, many(200, same), unstable)
	warmed := normal
	warmed.Cache = &load.Cache{Method: "reset", Why: "it was not cold"}
	run("cache_state", cellOf(), many(200, same), warmed)
	for mark, c := range map[string]load.Counted{"server_restarted": {Restarted: "anew"}, "foreign_traffic": {Foreign: "others"}, "count_mismatch": {Mismatch: "more"}} {
		counted := normal
		counted.Counted = &c
		run(mark, cellOf(), many(200, same), counted)
	}
	hot := normal
	hot.Phases = append([]load.PhaseOutcome{}, normal.Phases...)
	hot.Phases[1].Throttled = "it was too hot"
	run("throttled", cellOf(), many(200, same), hot)
	lost := normal
	lost.Workers = []load.Worker{{Rank: 0}, {Rank: 1, Host: "b", Lost: "its connection ended", LostAt: 6000 * msec}} // with records of it still to come
	run("worker_lost", cellOf(), many(200, same), lost)
	lost.Phases = append(lost.Phases, load.PhaseOutcome{Start: 5500 * msec, End: 9000 * msec})
	run("", cellOf(), many(200, same), lost) // that was in the next phase
	exhausted, interrupted := normal, normal
	exhausted.Exhausted, interrupted.Interrupted = true, true
	run("exhausted", cellOf(), many(200, same), exhausted)
	run("interrupted", cellOf(), many(200, same), interrupted)
	run("not_steady", cellOf(), many(2000, func(i int, r *record.Record) {
		r.OutputTokens, r.AskedMin, r.AskedMax = int32(3+i/300), int32(3+i/300), int32(3+i/300)
	}),
		load.Outcome{Phases: []load.PhaseOutcome{{}, {Start: 1000 * msec, End: 21000 * msec}}})
	small := Summarise(cellOf(), &plan.Server{}, many(200, same), normal)[0]
	for limit, want := range map[selftest.Limit]int{{Streams: 10_000, EventsPerS: 1e6}: 0, {Streams: 1, EventsPerS: 1e6}: 1, {Streams: 10_000, EventsPerS: 100}: 1} {
		e := small
		e.Beyond(&limit)
		if len(e.Marks) != want || e.Verdict != OK {
			t.Errorf("selftest %+v: marks %+v, verdict %s", limit, e.Marks, e.Verdict)
		}
		got["beyond_selftest"] = got["beyond_selftest"] || len(e.Marks) > 0
	}
	for _, m := range Marks() {
		switch m.Name {
		case "shared_client": // the runner's, which knows of other cells
		case "tunnelled", "rebooted": // the runner's, which knows the nodes
		case "search_bound", "not_monotonic": // TestSearchMarks
		default:
			if !got[m.Name] {
				t.Errorf("no test provokes the mark %s", m.Name)
			}
		}
	}
}

func TestThresholds(t *testing.T) {
	cells := []plan.Cell{}
	var entries []Entry
	for i, p99 := range []float64{100, 300, 120} {
		c := *cellOf()
		c.Address.Repeat = i + 1
		c.Name = c.Address.String()
		cells = append(cells, c)
		v := p99
		entries = append(entries, Entry{Address: c.Name, Benchmark: "b", Repeat: i + 1, Phase: "steady", Matrix: map[string]string{}, Verdict: OK, Metrics: map[string]*Stats{"ttft_ms": {P99: &v}}})
	}
	program := below("", "metrics.ttft_ms.p99", 200, metric.NullIsUnknown).Program
	judge := func(over string) []ThresholdResult {
		out, err := Thresholds(&plan.Plan{Cells: cells, Thresholds: []plan.Threshold{{Name: "t", Over: over, Program: program}}}, entries, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if r := judge("median"); len(r) != 1 || !r[0].Pass { // the median of 100, 300 and 120 is 120
		t.Errorf("median: %+v", r)
	}
	if r := judge("each"); len(r) != 3 || r[1].Pass || !r[2].Pass {
		t.Errorf("each: %+v", r)
	}
	entries[0].Metrics["ttft_ms"].P99 = nil
	if r := judge("each"); r[0].Pass || !r[0].Undecided {
		t.Errorf("an absent value: %+v", r[0])
	}
	if r := judge("median"); r[0].Pass || !r[0].Undecided || !strings.Contains(r[0].Message, "undecided: ttft_ms.p99 is missing") {
		t.Errorf("the median of repeats one of which lacks the value: %+v", r[0])
	}
}

// TestTurns: two conversations of three turns and one of one; the second turn of b fails.
func TestTurns(t *testing.T) {
	turn := func(n int32, sent, first int64, cached int32) record.Record {
		r := stream(sent, 3, sent+first, sent+first+10, sent+first+20)
		r.Phase, r.Turn, r.InputTokens, r.CachedTokens = 1, n, 100*(n+1), cached
		return r
	}
	records := []record.Record{
		turn(0, 1000, 100, 0), turn(1, 1200, 30, 90), turn(2, 1400, 50, 190),
		turn(0, 1000, 200, 0), turn(1, 1200, 30, 90), turn(2, 1400, 70, 180),
		turn(0, 1000, 300, 16),
	}
	records[4].Status = record.Reset
	observed := map[string]float64{PricePerHour: 1}
	for _, n := range metric.Telemetry() {
		observed[n.Name] = 1
	}
	out := load.Outcome{Phases: []load.PhaseOutcome{{}, {Start: 1000 * msec, End: 3000 * msec, Observed: observed}}}
	e := &Summarise(cellOf(), &plan.Server{}, records, out)[0]
	for path, want := range map[string]float64{
		"turns.first.count": 3, "turns.first.ttft_ms.p50": 200, "turns.first.cached_tokens.max": 16, "turns.first.input_tokens.mean": 100,
		"turns.later.count": 3, "turns.later.ttft_ms.mean": 50, "turns.later.cached_tokens.min": 90, "turns.later.tpot_ms.p50": 10, "turns.later.latency_ms.max": 90,
	} {
		if got := e.Value(path); got == nil || math.Abs(*got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", path, show(got), want)
		}
	}
	for _, bad := range []string{"turns.first.nothing.p50", "turns.later.ttft_ms.nothing", "turns.first"} {
		if got := e.Value(bad); got != nil {
			t.Errorf("%s is %v", bad, *got)
		}
	}
	// Every path that the language knows is one that an entry can have.
	for _, path := range metric.ResultPaths(nil, nil) {
		if strings.HasPrefix(path, "goodput.") || strings.HasSuffix(path, ".p99") || strings.HasSuffix(path, ".p999") || strings.HasSuffix(path, ".p9999") {
			continue // no slo; too few values
		}
		switch path {
		case "window.drift", "window.trend_p": // a short window
		default:
			if e.Value(path) == nil && !strings.Contains(path, "reasoning_tokens") && !strings.Contains(path, "connect_ms") {
				t.Errorf("%s has no value", path)
			}
		}
	}
	if e := Summarise(cellOf(), &plan.Server{}, records[:1], out)[0]; e.Turns != nil || e.Value("turns.first.count") != nil {
		t.Errorf("one turn: %+v", e.Turns)
	}
}

// against is the condition column a > factor × column b.
func against(a, b string, factor float64) *metric.Program {
	return &metric.Program{Columns: []string{a, b}, Consts: []float64{factor}, Depth: 3, Bool: true, Code: []metric.Instr{
		{Op: metric.Col}, {Op: metric.Const}, {Op: metric.Col, Arg: 1}, {Op: metric.Mul}, {Op: metric.Gt, Arg: metric.NullIsUnknown},
	}}
}

// TestBaselineAndPeer: thresholds that compare with another run, and with another cell.
func TestBaselineAndPeer(t *testing.T) {
	const rate = "throughput.output_tokens_per_s"
	entries := slices.Concat(measured("a", "", 100, 110, 120), measured("b", "", 90, 100, 95))
	p := &plan.Plan{}
	for i := range entries {
		c, err := addr.Parse(entries[i].Address)
		if err != nil {
			t.Fatal(err)
		}
		p.Cells = append(p.Cells, plan.Cell{Name: entries[i].Address, Address: c})
	}
	slower, unlike := measured("a", "", 101, 105, 99), measured("a", "", 100, 100, 100)
	for i := range unlike {
		unlike[i].Workload = "another"
	}
	peer := map[string]map[string]string{"peer(server=b)": {"server": "b"}}
	for _, c := range []struct {
		name      string
		threshold plan.Threshold
		baseline  *Baseline
		pass      []bool
		message   string
	}{
		{"medians: 110 against 101", plan.Threshold{Program: against(rate, "baseline."+rate, 1), Over: "median"}, &Baseline{"base", slower}, []bool{true}, ""},
		{"5 % is not 10 %", plan.Threshold{Program: against(rate, "baseline."+rate, 1.1), Over: "median"}, &Baseline{"base", slower}, []bool{false}, "not met:  [output_tokens_per_s = 110, baseline.output_tokens_per_s = 101]"},
		{"each: 100 of 101, 110 of 105, 120 of 130", plan.Threshold{Program: against(rate, "baseline."+rate, 1), Over: "each"}, &Baseline{"base", measured("a", "", 101, 105, 130)}, []bool{false, true, false}, ""},
		{"no baseline", plan.Threshold{Program: against(rate, "baseline."+rate, 1), Over: "median"}, nil, []bool{false}, "undecided: no --baseline was given"},
		{"another cell", plan.Threshold{Program: against(rate, "baseline."+rate, 1), Over: "median"}, &Baseline{"base", measured("c", "", 1)}, []bool{false}, "the baseline base has no such cell"},
		{"another workload", plan.Threshold{Program: against(rate, "baseline."+rate, 1), Over: "median"}, &Baseline{"base", unlike}, []bool{false}, "the baseline base had another workload"},
		{"peer: 110 against 95", plan.Threshold{Program: against(rate, "peer(server=b)."+rate, 1.1), Peers: peer, Over: "median"}, nil, []bool{true}, ""},
		{"peer, not so much", plan.Threshold{Program: against(rate, "peer(server=b)."+rate, 1.2), Peers: peer, Over: "median"}, nil, []bool{false}, "peer(server=b).output_tokens_per_s = 95]"},
		{"no such peer", plan.Threshold{Program: against(rate, "peer(server=z)."+rate, 1), Peers: map[string]map[string]string{"peer(server=z)": {"server": "z"}}, Over: "median"}, nil, []bool{false}, "there is no peer(server=z) beside this cell"},
	} {
		c.threshold.Where = map[string]string{"server": "a"}
		p.Thresholds = []plan.Threshold{c.threshold}
		got, err := Thresholds(p, entries, c.baseline)
		if err != nil {
			t.Fatal(err)
		}
		var pass []bool
		for _, r := range got {
			pass = append(pass, r.Pass)
			if r.Undecided != strings.Contains(c.message, "undecided") && !strings.Contains(c.message, "the ") && !strings.Contains(c.message, "there") {
				t.Errorf("%s: undecided %v", c.name, r.Undecided)
			}
		}
		if !slices.Equal(pass, c.pass) || !strings.Contains(got[0].Message, c.message) {
			t.Errorf("%s: %v %q, want %v %q", c.name, pass, got[0].Message, c.pass, c.message)
		}
	}
}
