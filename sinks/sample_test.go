package sinks

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a run of two engines under 4 and 16 users; the last cell fails.
func sample() (*result.Run, []*result.Cell) {
	p := &plan.Plan{Scenario: "sample", Benchmarks: []plan.Benchmark{{Name: "chat"}}}
	run := &result.Run{ID: "one", Scenario: "sample", Version: "test", Plan: p, Simulated: true}
	for _, server := range []string{"vllm", "sglang"} {
		for _, users := range []int{16, 4} {
			p.Cells = append(p.Cells, plan.Cell{
				Address: addr.Cell{Benchmark: "chat", Repeat: 1, Axes: []addr.Axis{{Name: "server", Value: server}, {Name: "users", Value: fmt.Sprint(users)}}},
				Server:  "server." + server, Dataset: "dataset.d", Phases: []plan.Phase{{Name: "steady", Measure: true}},
			})
		}
	}
	var cells []*result.Cell
	for i := range p.Cells {
		c := &p.Cells[i]
		c.Name, c.Canonical = c.Address.String(), c.Address.Canonical()
		var records []record.Record
		for n := range int64(50) {
			at := (n + 1) * 1e7
			records = append(records, record.Record{
				ID: fmt.Sprintf("r%d", n), Scheduled: at, Sent: at, FirstEvent: at + 4e7, FirstToken: at + 4e7 + int64(i)*1e6, FirstOut: at + 4e7, LastToken: at + 8e7, StreamEnd: at + 8e7,
				InputTokens: 100, OutputTokens: 5, FirstEventTokens: 1, DatasetRow: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1, CachedTokens: -1, ReasoningTokens: -1,
				Events: []record.Event{{At: at + 4e7}, {At: at + 6e7}, {At: at + 8e7}}, FinishReason: "length", TokenSource: record.TokensUsage,
			})
		}
		s := &plan.Server{Framework: "sim", Address: c.Server}
		cell := &result.Cell{Plan: c, Server: s, Records: records, Outcome: load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: 1e7, End: 51e7}}}}
		cell.Entries = result.Summarise(c, s, records, cell.Outcome)
		if i == 3 {
			cell.Records, cell.Entries = nil, result.FailedEntries(c, s, "LAUNCH_EXITED: its program ended\nmore")
		}
		if i == 1 {
			cell.Entries[0].Add("not_steady", "the output-token rate rose")
		}
		run.Entries = append(run.Entries, cell.Entries...)
		cells = append(cells, cell)
	}
	no := 0.5
	run.Thresholds = []result.ThresholdResult{
		{Name: "good", Address: "benchmark.chat", Pass: true},
		{Name: "bad", Address: "benchmark.chat", Message: "too slow", Values: map[string]*float64{"ttft_ms.p50": &no}},
	}
	return run, cells
}

// repeated is a run of two engines under 4 users and one under 16, five repeats each, in
// one start of vllm and five of sglang.
func repeated() *result.Run {
	p := &plan.Plan{Scenario: "repeated", Benchmarks: []plan.Benchmark{{Name: "chat"}}}
	run := &result.Run{ID: "two", Scenario: "repeated", Plan: p}
	for _, c := range []struct {
		server, users string
		rate          float64
	}{{"vllm", "4", 100}, {"sglang", "4", 110}, {"vllm", "16", 300}} {
		for i := range 6 {
			rate := c.rate * (1 + 0.002*float64((i*5)%6))
			ttft, tpot, whole := 5000/rate, 1000/rate, 1.0
			session := "server." + c.server
			if c.server == "sglang" {
				session += fmt.Sprintf("~%d", i+1)
			}
			run.Entries = append(run.Entries, result.Entry{
				Address: fmt.Sprintf("benchmark.chat[server=%s,users=%s]#%d", c.server, c.users, i+1), Benchmark: "chat", Server: "server." + c.server,
				Axes: []string{"server", "users"}, Matrix: map[string]string{"server": c.server, "users": c.users}, Repeat: i + 1, Session: session, Phase: "steady", Verdict: result.OK,
				Requests: result.Requests{Scheduled: 50, OK: 50, SuccessRate: &whole}, Throughput: map[string]*float64{"output_tokens_per_s": &rate},
				Metrics: map[string]*result.Stats{"ttft_ms": {P50: &ttft}, "tpot_ms": {P50: &tpot}},
			})
		}
	}
	return run
}

// play sends the sample through a sink and returns its folder and standard output.
func play(t *testing.T, kind string, values schema.Values) (dir, stdout string) {
	t.Helper()
	run, cells := sample()
	return through(t, kind, values, run, cells...)
}

// through sends cells through a sink and returns its folder and standard output.
func through(t *testing.T, kind string, values schema.Values, run *result.Run, cells ...*result.Cell) (dir, stdout string) {
	t.Helper()
	dir, values = t.TempDir(), maps.Clone(values)
	if values == nil {
		values = schema.Values{}
	}
	for _, k := range Kinds() {
		for _, a := range k.Attrs {
			if _, set := values[a.Name]; k.Name == kind && !set && a.Default != nil {
				values[a.Name] = a.Default
			}
		}
	}
	var out bytes.Buffer
	s, err := New(plan.Sink{Address: "sink." + kind, Type: kind, Values: values}, dir, Env{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	err = s.Begin(ctx, run)
	for _, c := range cells {
		if err == nil {
			err = s.Cell(ctx, c)
		}
	}
	if err == nil {
		err = s.End(ctx, run)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}
