package sinks

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

func eventsAt(at ...int64) (list []record.Event) {
	for _, t := range at {
		list = append(list, record.Event{At: t * ms})
	}
	return list
}

// servedCell is a cell of two users: five requests of which one fails, and one that was
// never sent. In ms:
//
//	     chunks (bare ones in brackets)    TTFT  latency  ITL          tokens  TPOT
//	a    100→ (140) 150 170 190 (200)      40    100      10 20 20 10  3       60/2 = 30
//	b    200→ (260) 260 (260)              60    60       0 0          1       –
//	c    200→ (250) 250 300                50    100      0 50         8       50/7
//	d    1400→ 1450 1500                   50    100      50           2       50
func servedCell() (*result.Run, *result.Cell) {
	p := &plan.Plan{
		Scenario: "sample", Benchmarks: []plan.Benchmark{{Name: "chat"}},
		Cells: []plan.Cell{{
			Address: addr.Cell{Benchmark: "chat", Repeat: 1}, Server: "server.vllm", Number: 1, Name: "benchmark.chat#1", API: "chat",
			Phases: []plan.Phase{{Name: "steady", Measure: true, Concurrency: &plan.Curve{From: 2, To: 2}}},
		}},
	}
	records := []record.Record{
		{Sent: 100 * ms, FirstEvent: 140 * ms, FirstToken: 150 * ms, LastToken: 190 * ms, LastBare: 200 * ms, StreamEnd: 210 * ms, InputTokens: 20, OutputTokens: 3, BareEvents: 2, Events: eventsAt(150, 170, 190)},
		{Sent: 200 * ms, FirstEvent: 260 * ms, FirstToken: 260 * ms, LastToken: 260 * ms, LastBare: 260 * ms, StreamEnd: 265 * ms, InputTokens: 30, OutputTokens: 1, BareEvents: 2, Events: eventsAt(260)},
		{Sent: 200 * ms, FirstEvent: 250 * ms, FirstToken: 250 * ms, LastToken: 300 * ms, LastBare: 250 * ms, StreamEnd: 310 * ms, InputTokens: 40, OutputTokens: 8, BareEvents: 1, Events: eventsAt(250, 300)},
		{Sent: 1400 * ms, FirstEvent: 1450 * ms, FirstToken: 1450 * ms, LastToken: 1500 * ms, StreamEnd: 1500 * ms, InputTokens: -1, OutputTokens: 2, TokenSource: record.TokensEvents, Events: eventsAt(1450, 1500)}, // no usage
		{Sent: 360 * ms, StreamEnd: 1600 * ms, Status: 500, Error: "HTTP 500"},
		{Scheduled: 370 * ms, Status: record.Unsent},
	}
	for i := range records {
		if records[i].Sent != 0 {
			records[i].Scheduled = records[i].Sent - 5*ms
		}
	}
	c := &result.Cell{
		Plan: &p.Cells[0], Server: &plan.Server{Address: "server.vllm"}, Model: "m", Records: records,
		Outcome: load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: 100 * ms, End: 1600 * ms}}},
		Entries: []result.Entry{{Address: "benchmark.chat#1", Phase: "steady", Verdict: result.Suspect, Marks: []result.Mark{{Name: "too_few", Why: "4 of 30"}}}},
	}
	epoch := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	return &result.Run{ID: "one", Scenario: "sample", Plan: p, EpochUnix: epoch.UnixNano(), Entries: c.Entries}, c
}

// TestVLLMConsole: the block, and that of a phase without an answer and without a limit.
func TestVLLMConsole(t *testing.T) {
	run, cell := servedCell()
	_, out := through(t, "console", schema.Values{"compat": schema.Plain("vllm"), "goodput": []schema.Text{schema.Plain("ttft:55"), schema.Plain("tpot:40")}}, run, cell)
	cell.Records = cell.Records[4:]
	cell.Plan.Phases[0] = plan.Phase{Name: "steady", Measure: true, Rate: &plan.Curve{From: 2.5, To: 2.5}}
	_, failed := through(t, "console", schema.Values{"compat": schema.Plain("vllm")}, run, cell)
	golden(t, "vllm_console.golden", out+failed)
}

// readJSON is an object with its numbers as they are.
func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, b)
	}
	return got
}

func TestVLLMJSON(t *testing.T) {
	run, cell := servedCell()
	compat := schema.Values{"compat": schema.Plain("vllm")}
	dir, _ := through(t, "json", compat, run, cell)
	// From the first send, 100, to the last end, 1600: 1.5 s. The busiest second begins with the
	// first send that came to something: 5 + 3 + 3 chunks. b and c are beside each other; a
	// ends as they begin.
	want := map[string]any{
		"date": "20260304-050607", "endpoint_type": "openai-chat", "backend": "openai-chat", "label": nil, "model_id": "m", "tokenizer_id": nil, "num_prompts": 5.0,
		"run_id": "one", "cell": "benchmark.chat#1", "phase": "steady", "verdict": "suspect", "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 2.0,
		"duration": 1.5, "completed": 4.0, "failed": 1.0, "total_input_tokens": 90.0, "total_output_tokens": 14.0, "request_throughput": 4 / 1.5, "request_goodput": nil,
		"output_throughput": 14 / 1.5, "total_token_throughput": 104 / 1.5, "max_output_tokens_per_s": 11.0, "max_concurrent_requests": 2.0, "rtfx": 0.0,
		"mean_ttft_ms": 50.0, "median_ttft_ms": 50.0, "std_ttft_ms": math.Sqrt(50), "p99_ttft_ms": 59.7,
		// By numpy of 30, 50/7 and 50, and of the nine gaps.
		"mean_tpot_ms": 29.047619047619047, "median_tpot_ms": 30.0, "std_tpot_ms": 17.509310772238322, "p99_tpot_ms": 49.6,
		"mean_itl_ms": 160.0 / 9, "median_itl_ms": 10.0, "std_itl_ms": 18.72477727372524, "p99_itl_ms": 50.0,
		"mean_e2el_ms": 90.0, "median_e2el_ms": 100.0, "std_e2el_ms": math.Sqrt(300), "p99_e2el_ms": 100.0,
	}
	got := readJSON(t, filepath.Join(dir, "results.json"))
	if d := got["doubts"]; !slices.Equal(d.([]any), []any{"too_few: 4 of 30"}) {
		t.Errorf("doubts %v", d)
	}
	delete(got, "doubts")
	for name := range want {
		w, g := want[name], got[name]
		f, isNumber := w.(float64)
		n, _ := g.(float64)
		if _, there := got[name]; !there || isNumber && math.Abs(f-n) > 1e-9 || !isNumber && w != g {
			t.Errorf("%s is %v, want %v", name, g, w)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("there are %v too", slices.Sorted(maps.Keys(got)))
	}

	// An answer of one token has a TPOT of 0 to goodput: a, b and c.
	cell.Plan.Record.Content = true
	cell.Records[3].Answer.Content = "four"
	compat["goodput"], compat["detailed"] = []schema.Text{schema.Plain("tpot:40")}, true
	dir, _ = through(t, "json", compat, run, cell)
	got = readJSON(t, filepath.Join(dir, "results.json"))
	if got["request_goodput"] != 3/1.5 {
		t.Errorf("goodput %v", got["request_goodput"])
	}
	lists := map[string]any{}
	for _, name := range []string{"input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "queue_times", "generated_texts", "errors"} {
		lists[name] = got[name]
	}
	b, err := json.Marshal(lists)
	if err != nil {
		t.Fatal(err)
	}
	const all = `{"errors":["","","","HTTP 500",""],"generated_texts":["","","","","four"],"input_lens":[20,30,40,0,0],` +
		`"itls":[[0.01,0.02,0.02,0.01],[0,0],[0,0.05],[],[0.05]],"latencies":[0.1,0.06,0.1,0,0.1],"output_lens":[3,1,8,0,2],` +
		`"queue_times":[0.005,0.005,0.005,0.005,0.005],"start_times":[0.1,0.2,0.2,0.36,1.4],"ttfts":[0.04,0.06,0.05,0,0.05]}`
	if string(b) != all {
		t.Errorf("the lists are\n%s, want\n%s", b, all)
	}
}

// TestVLLMFiles: a file for each cell and measured phase, also of a cell that did not run.
func TestVLLMFiles(t *testing.T) {
	run, cell := servedCell()
	second := run.Plan.Cells[0]
	second.Number, second.API, second.Phases = 2, "completions", []plan.Phase{
		{Name: "warmup"}, {Name: "slow", Measure: true, Rate: &plan.Curve{From: 1, To: 1}, Arrival: "gamma", Burstiness: 0.5, MaxInFlight: 8}, {Name: "fast", Measure: true, Rate: &plan.Curve{From: 1, To: 5}, Arrival: "constant"},
	}
	run.Plan.Cells = append(run.Plan.Cells, second)
	dir, _ := through(t, "json", schema.Values{"compat": schema.Plain("vllm")}, run, cell, &result.Cell{Plan: &run.Plan.Cells[1], Server: cell.Server})
	var names []string
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	if got := strings.Join(names, " "); got != "results-1.json results-2-fast.json results-2-slow.json" {
		t.Fatalf("it has written %s", got)
	}
	slow, fast := readJSON(t, files[2]), readJSON(t, files[1])
	for name, want := range map[string]any{"completed": 0.0, "duration": 0.0, "request_throughput": 0.0, "mean_itl_ms": 0.0, "verdict": "skipped", "request_rate": 1.0, "burstiness": 0.5, "max_concurrency": 8.0, "backend": "openai"} {
		if slow[name] != want {
			t.Errorf("%s is %v, want %v", name, slow[name], want)
		}
	}
	if fast["request_rate"] != "inf" || fast["burstiness"] != "inf" || fast["max_concurrency"] != nil {
		t.Errorf("a ramp of constant arrivals: %v", fast)
	}
}

// TestNotStreamed: an answer without events is one chunk as it ends.
func TestNotStreamed(t *testing.T) {
	run, cell := servedCell()
	cell.Records = []record.Record{{Sent: 100 * ms, LastToken: 180 * ms, StreamEnd: 180 * ms, OutputTokens: 5}}
	r := newVLLMReport(run, cell, stretches(cell)[0], nil)
	if !slices.Equal(r.ttfts, []float64{0.08}) || !slices.Equal(r.e2els, []float64{0.08}) || len(r.itls) != 0 || !slices.Equal(r.tpots, []float64{0}) {
		t.Errorf("%+v", r)
	}
}

// TestStretchesOfASearch: the requests of the value that it found, as it was last measured.
func TestStretchesOfASearch(t *testing.T) {
	rungs := []plan.Rung{}
	for _, v := range []float64{1, 2, 4} {
		rungs = append(rungs, plan.Rung{Value: v, Phases: []plan.Phase{{Name: "warmup"}, {Name: "steady", Measure: true, Concurrency: &plan.Curve{From: v, To: v}}}})
	}
	c := &result.Cell{Plan: &plan.Cell{Search: &plan.Search{Rungs: rungs}, Phases: rungs[0].Phases}, Entries: []result.Entry{{Phase: "steady", Search: &result.Search{Value: num(2)}}}}
	for step, value := range []float64{2, 4, 2} {
		for phase := range 2 {
			c.Records = append(c.Records, record.Record{ID: string(rune('a' + len(c.Records))), Phase: phase, SearchStep: step, SearchValue: value, Sent: 1})
		}
	}
	got := stretches(c)
	if len(got) != 1 || got[0].phase.Concurrency.To != 2 || got[0].entry != &c.Entries[0] || len(got[0].records) != 1 || got[0].records[0].ID != "f" {
		t.Errorf("%+v", got)
	}
	c.Entries[0].Search.Value = nil // the lowest value missed the goal
	if got := stretches(c); got[0].phase.Concurrency.To != 1 || len(got[0].records) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestGoodputLimits(t *testing.T) {
	for _, text := range []string{"", "ttft", "itl:5", "ttft:", "ttft:-1", "ttft:NaN", "ttft:5ms"} {
		if got, err := goodputLimits([]string{text}); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
