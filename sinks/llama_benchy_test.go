package sinks

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// batches are two repeats of a cell with two users, one of a cell with one, and one in an
// open loop. In ms, with prompts of 100 tokens and answers of 4:
//
//	#1  a    1000→ (1100) 1200 1300 1400 1500, its prompt counted as 110
//	    b    1010→ 1210 1410, five tokens in two events, its prompt counted as 200: not near 100
//	    z    1600→ 1700: the half of a batch, left out
//	#2  c    failed
//	    d    2000→ 2100, one token, without usage
//	c1  e    3000→ (3050) 3060 3160, two tokens
func batches() (*result.Run, []*result.Cell) {
	p := &plan.Plan{Scenario: "sample", Benchmarks: []plan.Benchmark{{Name: "chat"}}, Datasets: []plan.Dataset{{Address: "dataset.d", Type: "synthetic", Values: schema.Values{"shape": schema.Plain("D(100,4)")}}}}
	run := &result.Run{ID: "one", Scenario: "sample", Version: "test", Plan: p, Started: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	ok := func(sent int64, in, out, bare int32, first int64, at ...int64) record.Record {
		r := record.Record{Scheduled: sent * ms, Sent: sent * ms, InputTokens: in, OutputTokens: out, BareEvents: bare, FirstEvent: first * ms, Events: eventsAt(at...)}
		r.FirstToken, r.LastToken = at[0]*ms, at[len(at)-1]*ms
		r.LastBare = r.FirstEvent * int64(min(1, bare))
		r.StreamEnd = r.LastToken + ms
		return r
	}
	var cells []*result.Cell
	for i, c := range []struct {
		users   string
		repeat  int
		phase   plan.Phase
		records []record.Record
	}{
		{"2", 1, plan.Phase{Concurrency: &plan.Curve{From: 2, To: 2}}, []record.Record{ // in the order in which they ended
			ok(1010, 200, 5, 0, 1210, 1210, 1410), ok(1000, 110, 4, 1, 1100, 1200, 1300, 1400, 1500), ok(1600, 100, 1, 0, 1700, 1700),
		}},
		{"2", 2, plan.Phase{Concurrency: &plan.Curve{From: 2, To: 2}}, []record.Record{{Sent: 1990 * ms, StreamEnd: 1995 * ms, Status: 500}, ok(2000, -1, 1, 0, 2100, 2100)}},
		{"1", 1, plan.Phase{Concurrency: &plan.Curve{From: 1, To: 1}}, []record.Record{ok(3000, 100, 2, 1, 3050, 3060, 3160)}},
		{"open", 1, plan.Phase{Rate: &plan.Curve{From: 1, To: 1}}, []record.Record{ok(4000, 100, 2, 1, 4050, 4060, 4160)}},
	} {
		c.phase.Name, c.phase.Measure = "steady", true
		p.Cells = append(p.Cells, plan.Cell{
			Address: addr.Cell{Benchmark: "chat", Repeat: c.repeat, Axes: []addr.Axis{{Name: "users", Value: c.users}}},
			Server:  "server.vllm", Dataset: "dataset.d", Phases: []plan.Phase{c.phase}, Number: i + 1,
		})
		cells = append(cells, &result.Cell{Server: &plan.Server{Address: "server.vllm"}, Model: "org/a_b", Records: c.records})
	}
	for i, c := range cells {
		c.Plan = &p.Cells[i]
		c.Plan.Name = c.Plan.Address.String()
		c.Entries = []result.Entry{{Address: c.Plan.Name, Server: "server.vllm", Phase: "steady", Verdict: result.OK}}
		run.Entries = append(run.Entries, c.Entries...)
	}
	return run, cells
}

func TestBenchyJSON(t *testing.T) {
	run, cells := batches()
	run.Entries[0].Verdict, run.Entries[0].Marks = result.Suspect, []result.Mark{{Name: "too_few", Why: "2 of 30"}}
	dir, _ := through(t, "llama-benchy", schema.Values{"latency": 20 * time.Millisecond}, run, cells...)
	b, err := os.ReadFile(filepath.Join(dir, "llama-benchy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got benchyReport
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "sparkrun test" || got.Timestamp != "2026-03-04 05:06:07Z" || got.LatencyMode != "api" || got.LatencyMS != 20 || got.Model != "org/a_b" || got.MaxConcurrency != 2 || len(got.Rows) != 2 {
		t.Fatalf("%+v", got)
	}
	if !slices.Equal(got.Doubts, []string{"suspect benchmark.chat[users=2]#1: too_few: 2 of 30"}) {
		t.Errorf("doubts %q", got.Doubts)
	}
	if !strings.Contains(string(b), `"throughput_over_time": null`) || !strings.Contains(string(b), `"is_context_prefill_phase": false`) {
		t.Errorf("fields are missing: %s", b)
	}
	// a: 110 tokens in 100 − 20 ms, 3 in 300 ms, 4 within 300 ms. b: 100 in 180 ms; tokens each
	// 50 ms: 4 in 200 ms, 5 within 200 ms. Both: 210 prompt tokens from 1000 to 1210, 7 from 1200 to
	// 1500, 9 within that. d: 100 tokens in 80 ms; from its send to its token 100 ms; one token a second.
	check := func(name string, got *benchyMetric, std float64, want ...float64) {
		t.Helper()
		if len(want) == 0 {
			if got != nil {
				t.Errorf("%s is %v", name, *got)
			}
			return
		}
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
		mean := 0.0
		for _, w := range want {
			mean += w / float64(len(want))
		}
		if got == nil || !slices.EqualFunc(got.Values, want, near) || !near(got.Mean, mean) || !near(got.Std, std) {
			t.Errorf("%s is %+v, want %v ± %v", name, got, want, std)
		}
	}
	one, two := got.Rows[0], got.Rows[1]
	if two.Concurrency != 2 || two.Context != 0 || two.Prompt != 100 || two.Response != 4 || one.Concurrency != 1 {
		t.Errorf("%+v", got.Rows)
	}
	check("pp", two.PP, 0, 1000, 1000)
	check("pp of requests", two.PPRequest, 360.45762333, 1375, 100/0.18, 1250) // deviations by numpy
	check("tg", two.TG, 0, 7/0.3)
	check("tg of requests", two.TGRequest, 5, 10, 20)
	check("peak", two.Peak, 14.5, 30, 1)
	check("peak of requests", two.PeakRequest, 9.79921891571, 4/0.3, 25, 1)
	check("ttfr", two.TTFR, 47.140452, 100, 200, 100)
	check("est_ppt", two.PPT, 47.140452, 80, 180, 80)
	check("e2e_ttft", two.TTFT, 47.140452, 200, 200, 100)
	// Alone: the total is the request's.
	check("pp", one.PP, 0, 100/0.03)
	check("pp of requests", one.PPRequest, 0, 100/0.03)
	check("tg", one.TG, 0, 10)
	check("peak", one.Peak, 0, 20)
	check("ttfr", one.TTFR, 0, 50)
	check("e2e_ttft", one.TTFT, 0, 60)

	// A latency above the time to the first event leaves nothing for the prompt.
	dir, _ = through(t, "llama-benchy", schema.Values{"latency": time.Second}, run, cells[2])
	if b, err = os.ReadFile(filepath.Join(dir, "llama-benchy.json")); err != nil {
		t.Fatal(err)
	}
	got = benchyReport{}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	check("est_ppt", got.Rows[0].PPT, 0, 0)
	check("pp", got.Rows[0].PP, 0)
}

func TestBenchyTables(t *testing.T) {
	run, cells := batches()
	values := schema.Values{"compat": schema.Plain("llama-benchy")}
	_, both := through(t, "console", values, run, cells...)
	_, alone := through(t, "console", values, run, cells[2])
	cells[2].Records[0].Events = nil // it was not streamed
	_, none := through(t, "console", values, run, cells[2:]...)
	golden(t, "benchy_console.golden", both+alone+none)
	run, cells = batches()
	dir, _ := through(t, "markdown", values, run, cells...)
	b, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "benchy_markdown.golden", string(b))
}

// TestBenchyServers: a file and a table for each, also where a server's address is no name.
func TestBenchyServers(t *testing.T) {
	run, cells := batches()
	run.Plan.Cells[2].Server = "server.vllm(dir=a/b)"
	dir, _ := through(t, "llama-benchy", nil, run, cells...)
	for name, rows := range map[string]int{"llama-benchy-vllm.json": 1, "llama-benchy-vllm(dir=a%2Fb).json": 1} {
		if got := readJSON(t, filepath.Join(dir, name)); len(got["benchmarks"].([]any)) != rows || got["latency_mode"] != "none" {
			t.Errorf("%s: %v", name, got)
		}
	}
	_, out := through(t, "console", schema.Values{"compat": schema.Plain("llama-benchy")}, run, cells...)
	if !strings.Contains(out, "\nvllm:\n\n| model ") || !strings.Contains(out, "\nvllm(dir=a/b):\n\n| model ") {
		t.Errorf("got %s", out)
	}
}

// TestBenchySizes: a test is called by what its dataset has, else by what was measured.
func TestBenchySizes(t *testing.T) {
	most := int64(7)
	records := []*record.Record{{InputTokens: 30, OutputTokens: 9}, {InputTokens: 50, OutputTokens: 11}, {InputTokens: -1, OutputTokens: -1, Status: 500}}
	for name, c := range map[string]struct {
		values schema.Values
		most   *int64
		want   [3]int
	}{
		"shape":      {schema.Values{"shape": schema.Plain("D(2048,128)")}, nil, [3]int{0, 2048, 128}},
		"lengths":    {schema.Values{"input_tokens": dist.Const(512), "output_tokens": dist.Const(64), "prefix_tokens": dist.Const(4096)}, nil, [3]int{4096, 512, 64}},
		"max_tokens": {schema.Values{"shape": schema.Plain("D(2048,128)")}, &most, [3]int{0, 2048, 7}},
		"drawn":      {schema.Values{"shape": schema.Plain("N(480,240)/(300,150)")}, nil, [3]int{0, 40, 10}},
		"one drawn":  {schema.Values{"input_tokens": dist.Const(512), "output_tokens": uniform(1, 9)}, nil, [3]int{0, 512, 10}},
	} {
		p := &plan.Plan{Datasets: []plan.Dataset{{Address: "dataset.other"}, {Address: "dataset.d", Values: c.values}}}
		context, prompt, response := sizes(p, &plan.Cell{Dataset: "dataset.d", Request: plan.Request{MaxTokens: c.most}}, records)
		if got := [3]int{context, prompt, response}; got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestTokenTimes(t *testing.T) {
	for _, c := range []struct {
		tokens int32
		events []record.Event
		want   []float64
	}{
		{3, eventsAt(1000, 1125, 1500), []float64{1, 1.125, 1.5}},
		{5, eventsAt(1000, 1125, 1500), []float64{1, 1.125, 1.25, 1.375, 1.5}}, // several in an event
		{2, eventsAt(1000, 1125, 1500), []float64{1, 1.5}},
		{1, eventsAt(1000, 1500), []float64{1}},
		{2, eventsAt(1000), []float64{1, 1}},
		{-1, eventsAt(1000), []float64{}},
	} {
		if got := tokenTimes(&record.Record{OutputTokens: c.tokens, Events: c.events}); !slices.Equal(got, c.want) {
			t.Errorf("%d tokens in %v: %v, want %v", c.tokens, c.events, got, c.want)
		}
	}
}

func TestPeakRate(t *testing.T) {
	for _, c := range []struct {
		at   []float64
		want float64
	}{
		{[]float64{5}, 1},
		{[]float64{5, 5, 5}, 3},             // all at once
		{[]float64{5.5, 5}, 4},              // 2 in half a second
		{[]float64{0, 0.5, 1, 1.5}, 2},      // a second that ends with one of them has not the one a second before
		{[]float64{0, 0.1, 0.2, 5, 5.9}, 3}, // the first
	} {
		if got := peakRate(slices.Clone(c.at)); got != c.want {
			t.Errorf("%v: %v, want %v", c.at, got, c.want)
		}
	}
}
