package sinks

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

const ms = int64(time.Millisecond)

// dialogueCell is a cell of two clients that plays two conversations: of two turns, the
// second answer with reasoning in front; and of one turn, answered in a single chunk,
// after which a third fails.
func dialogueCell() (*result.Run, *result.Cell) {
	p := &plan.Plan{
		Scenario: "sample", Benchmarks: []plan.Benchmark{{Name: "chat", Seed: 7}},
		Cells: []plan.Cell{{
			Address: addr.Cell{Benchmark: "chat", Repeat: 1}, Server: "server.vllm", Dataset: "dataset.d", Number: 1, Name: "benchmark.chat#1",
			Phases:        []plan.Phase{{Name: "steady", Measure: true, Concurrency: &plan.Curve{From: 2, To: 2}}},
			Conversations: plan.Conversations{Active: 2},
		}},
		Datasets: []plan.Dataset{{Address: "dataset.d", Type: "synthetic", Values: schema.Values{
			"turns": uniform(1, 2), "input_tokens": dist.Const(20), "output_tokens": uniform(5, 10), "shared_prefix_tokens": dist.Const(500),
			"prefix_tokens": dist.Dist{Kind: dist.Lognormal, Mean: num(1000), Max: num(5000)}, "text_files": []string{"a.txt", "b.txt"},
		}}},
	}
	events := func(at ...int64) (list []record.Event) {
		for _, t := range at {
			list = append(list, record.Event{At: t * ms})
		}
		return list
	}
	records := []record.Record{
		{ // three tokens in the first chunk, seven in three chunks
			ID: "a0", ConversationID: "a", Conversation: 0, Worker: 0, Sent: 100 * ms, FirstEvent: 140 * ms, FirstToken: 150 * ms, FirstOut: 150 * ms, LastToken: 190 * ms, StreamEnd: 200 * ms,
			InputTokens: 20, OutputTokens: 7, ReasoningTokens: -1, FirstEventTokens: 3, FirstOutTokens: 3, Events: events(150, 170, 190),
			Prompt: "q1", Answer: record.Answer{Content: "<answer> one"},
		},
		{ // four tokens of reasoning in one chunk, then six tokens
			ID: "a1", ConversationID: "a", Conversation: 0, Worker: 0, Turn: 1, LastTurn: true, HistoryTokens: 27, Sent: 210 * ms, FirstToken: 240 * ms, FirstOut: 260 * ms, LastToken: 280 * ms, StreamEnd: 290 * ms,
			InputTokens: 40, OutputTokens: 10, ReasoningTokens: 4, FirstEventTokens: 4, FirstOutTokens: 1, ReasoningEvents: 1, Events: events(240, 260, 270, 280),
			Prompt: "q2", Answer: record.Answer{Content: "answer two", Reasoning: "hm"},
		},
		{ // five tokens in a single chunk
			ID: "b0", ConversationID: "b", Conversation: 1, Worker: 1, LastTurn: true, Sent: 300 * ms, FirstToken: 340 * ms, FirstOut: 340 * ms, LastToken: 340 * ms, StreamEnd: 350 * ms,
			InputTokens: 30, OutputTokens: 5, ReasoningTokens: -1, FirstEventTokens: 5, FirstOutTokens: 5, Events: events(340),
			Prompt: "q3", Answer: record.Answer{Content: "answer three"},
		},
		{ID: "c0", ConversationID: "c", Conversation: 2, Worker: 1, Sent: 360 * ms, StreamEnd: 365 * ms, Status: 500, Error: "HTTP 500", Prompt: "q4"},
	}
	c := &result.Cell{
		Plan: &p.Cells[0], Server: &plan.Server{Address: "server.vllm"}, Model: "m", Records: records,
		Outcome: load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: 100 * ms, End: 400 * ms}}},
	}
	c.Entries = []result.Entry{{Address: "benchmark.chat#1", Verdict: result.OK}}
	epoch := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	return &result.Run{ID: "one", Scenario: "sample", Plan: p, EpochUnix: epoch.UnixNano(), Entries: c.Entries}, c
}

func num(f float64) *float64 { return &f }

func uniform(from, to float64) dist.Dist {
	return dist.Dist{Kind: dist.Uniform, Min: &from, Max: &to}
}

// TestSeedWorkbook checks the workbook cell by cell against values worked by hand from
// the tool's formulas.
func TestSeedWorkbook(t *testing.T) {
	run, cell := dialogueCell()
	dir, _ := through(t, "excel", schema.Values{"compat": schema.Plain("seed")}, run, cell)
	f, err := excelize.OpenFile(filepath.Join(dir, "statistics_2_clients__04-03-2026_05-06-07.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	std := func(v ...float64) float64 {
		mean, sum := 0.0, 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			sum += (x - mean) * (x - mean)
		}
		return math.Sqrt(sum / float64(len(v)-1))
	}
	// a0: latency 100, first chunk at 50; TPOT (100−50)/(7−3) = 12.5; TTFT 50 − 2·12.5 = 25.
	// a1: latency 80, first visible chunk at 50; 6 visible tokens; TPOT (80−50)/(6−1) = 6.
	// b0: latency 50, everything at 40: TPOT 0, TTFT 40 − 4·0.
	compare(t, f, "Summary", [][]any{
		{"model", "num_clients", "num_conversations", "active_conversations", "seed"},
		{"m", 2, 3, 2, 7},
		{},
		{"text_files", "input_num_turns", "input_common_prefix_num_tokens", "input_prefix_num_tokens", "input_num_tokens", "output_num_tokens"},
		{"a.txt, b.txt", "UniformDistribution[2, 4]", "Constant[500]", "LognormalDistribution[1000, 0.85, 5000]", "Constant[20]", "UniformDistribution[5, 10]"},
		{}, {}, {},
		{"runtime_sec", "requests_per_sec"},
		{0.25, 12.0}, // from 100 ms to the end, at 350, of the request that started last
		{},
		{nil, "count", "mean", "std", "min", "25%", "50%", "75%", "90%", "max"},
		{"ttft_ms", 3, 115.0 / 3, std(25, 50, 40), 25, 32.5, 40, 45, 48, 50},
		{"tpot_ms", 3, 18.5 / 3, std(12.5, 6, 0), 0, 3, 6, 9.25, 11.2, 12.5},
		{"latency_ms", 3, 230.0 / 3, std(100, 80, 50), 50, 65, 80, 90, 96, 100},
		{"input_num_turns", 3, 5.0 / 3, std(1, 3, 1), 1, 1, 1, 2, 2.6, 3},
		{"input_num_tokens", 3, 30, std(20, 40, 30), 20, 25, 30, 35, 38, 40},
		{"output_num_tokens", 3, 6, std(7, 6, 5), 5, 5.5, 6, 6.5, 6.8, 7},
		{"output_num_chunks", 3, 4.0 / 3, std(2, 2, 0), 0, 1, 2, 2, 2, 2},
	})
	compare(t, f, "Raw data", [][]any{
		{"ttft_ms", "tpot_ms", "latency_ms", "start_time_ms", "input_num_turns", "input_num_tokens", "output_num_tokens", "output_num_chunks", "output_num_first_chunk_tokens", "approx_cached_percent", "conversation_id", "client_id", "end_time_ms"},
		{25, 12.5, 100, 100, 1, 20, 7, 2, 3, 0, "a", 0, 200},
		{50, 6, 80, 210, 3, 40, 6, 2, 1, 67.5, "a", 0, 290},
		{40, 0, 50, 300, 1, 30, 5, 0, 5, 0, "b", 1, 350},
	})
}

// compare checks a sheet against rows of numbers and strings; nil is an empty cell.
func compare(t *testing.T, f *excelize.File, sheet string, want [][]any) {
	t.Helper()
	got, err := f.GetRows(sheet, excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%s has %d rows, want %d", sheet, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if len(got[i]) != len(want[i]) {
			t.Errorf("%s row %d is %q, want %v", sheet, i, got[i], want[i])
			continue
		}
		for j, w := range want[i] {
			text, isText := w.(string)
			n, err := strconv.ParseFloat(got[i][j], 64)
			switch {
			case w == nil && got[i][j] == "", isText && got[i][j] == text:
			case !isText && w != nil && err == nil && math.Abs(n-number64(w)) < 1e-9:
			default:
				t.Errorf("%s row %d column %d is %q, want %v", sheet, i, j, got[i][j], w)
			}
		}
	}
}

func number64(v any) float64 {
	f, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	return f
}

func TestSeedConsole(t *testing.T) {
	run, cell := dialogueCell()
	_, out := through(t, "console", schema.Values{"compat": schema.Plain("seed"), "warmup_percentages": []schema.Text{schema.Plain("0%"), schema.Plain("34%")}}, run, cell)
	golden(t, "seed_console.golden", out)
}

// TestSeedWarmupStep: a phase of first turns is the tool's warm-up step, whose time is
// reported and which excludes cut shares.
func TestSeedWarmupStep(t *testing.T) {
	run, cell := dialogueCell()
	cell.Plan.Phases = append([]plan.Phase{{Name: "warmup", FirstTurnOnly: true}}, cell.Plan.Phases...)
	cell.Outcome.Phases = append([]load.PhaseOutcome{{Start: 0, End: 90 * ms}}, cell.Outcome.Phases...)
	for i := range cell.Records {
		cell.Records[i].Phase = 1
	}
	r := newSeedReport(run, cell, []float64{0, 0.5})
	if len(r.runs) != 1 || len(r.runs[0].params) != 4 {
		t.Fatalf("%+v", r.runs)
	}
	if got := fmt.Sprintf("%.3f %.3f", r.runs[0].params[2].value, r.runs[0].params[3].value); got != "0.090 0.340" {
		t.Errorf("warm-up and total %s s", got)
	}
}

// TestSeedPercentilesGrowWithTheRows: which are shown hangs on the rows before the cut.
func TestSeedPercentilesGrowWithTheRows(t *testing.T) {
	for n, want := range map[int]string{99: "90%", 100: "99%", 1000: "99.9%", 10000: "99.99%"} {
		run := seedStatistics(make([]seedRow, n), 0.5, 0)
		if got := run.columns[len(run.columns)-2]; got != want || run.table[0][0] != float64(n-n/2) {
			t.Errorf("%d rows: last percentile %s of %v rows, want %s", n, got, run.table[0][0], want)
		}
	}
}

func TestConversations(t *testing.T) {
	run, cell := dialogueCell()
	dir, _ := through(t, "conversations", schema.Values{}, run, cell)
	b, err := os.ReadFile(filepath.Join(dir, "conversations.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got []spoken
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := `[{a [{user q1} {assistant <answer> one} {user q2} {assistant answer two}]} {b [{user q3} {assistant answer three}]}]`
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if !strings.Contains(string(b), "<answer>") {
		t.Errorf("the texts are escaped: %s", b)
	}
	// One that began in its midst, or did not come to its end, is not finished.
	cell.Records[0].Turn, cell.Records[2].LastTurn = 5, false
	if got := finished(cell.Records); len(got) != 0 {
		t.Errorf("unfinished conversations are written: %v", got)
	}
	// Several cells: a file each.
	run.Plan.Cells = append(run.Plan.Cells, run.Plan.Cells[0])
	run.Plan.Cells[1].Number = 2
	other := *cell
	other.Plan = &run.Plan.Cells[1]
	dir, _ = through(t, "conversations", schema.Values{}, run, cell, &other)
	for _, name := range []string{"conversations-1.json", "conversations-2.json"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || strings.TrimSpace(string(b)) != "[]" {
			t.Errorf("%s: %s %v", name, b, err)
		}
	}
}

func TestGenaiWorkbook(t *testing.T) {
	run, cell := dialogueCell()
	run.Plan.Datasets[0].Values = schema.Values{"shape": schema.Plain("D(20,7)")}
	dir, _ := through(t, "excel", schema.Values{"compat": schema.Plain("genai-bench")}, run, cell)
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// TTFT 50, 30 (reasoning counts), 40 ms; latency 100, 80, 50 ms. Speeds: 6 tokens in 50 ms,
	// 9 in 50, 4 in 10. From 100 to 350 ms: 3 requests, 22 tokens out, 90 in.
	line := []any{"vllm", "D(20,7)", 2, 0.04, (6/0.05 + 9/0.05 + 4/0.01) / 3, 22 / 0.25, 0.23 / 3, 12.0, 112 / 0.25}
	head := make([]any, len(genaiColumns))
	for i, n := range genaiColumns {
		head[i] = n
	}
	compare(t, f, "Appendix", [][]any{head, line})
	compare(t, f, "Summary", [][]any{
		{"GPU Type", "Use Case", "Concurrency at target speed (>10 tokens/s)", "Total Throughput (tokens/min)"},
		{"vllm", "D(20,7)", 2, 60 * 112 / 0.25},
	})
	_, out := through(t, "console", schema.Values{"compat": schema.Plain("genai-bench")}, run, cell)
	golden(t, "genai_console.golden", out)
}

// TestGenaiSummary: the highest concurrency with the target speed, until a step changes little.
func TestGenaiSummary(t *testing.T) {
	row := func(c int, speed, total, rps float64) genaiRow {
		return genaiRow{concurrency: c, speed: speed, total: total, requests: rps}
	}
	for _, c := range []struct {
		rows []genaiRow
		want int
	}{
		{[]genaiRow{row(1, 50, 100, 1), row(2, 30, 180, 2), row(4, 9, 250, 3)}, 2},
		{[]genaiRow{row(1, 50, 100, 1), row(2, 30, 104, 1.02), row(4, 20, 250, 3)}, 2}, // flat from 1 to 2
		{[]genaiRow{row(1, 5, 100, 1)}, 0},
	} {
		got := 0
		if best := genaiSummary(c.rows); best != nil {
			got = best.concurrency
		}
		if got != c.want {
			t.Errorf("%v: %d, want %d", c.rows, got, c.want)
		}
	}
}
