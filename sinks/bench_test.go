package sinks

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// BenchmarkMillionRows writes a million requests, and a few more than a sheet takes, into the sinks
// that have a row a request, cell by cell as a run does. peak-MB is what the process has held at
// most, the cell's own records among it.
func BenchmarkMillionRows(b *testing.B) {
	const cells, requests = 110, 10_000
	p := &plan.Plan{Scenario: "big", Benchmarks: []plan.Benchmark{{Name: "b"}}}
	for i := range cells {
		p.Cells = append(p.Cells, plan.Cell{
			Address: addr.Cell{Benchmark: "b", Repeat: 1, Axes: []addr.Axis{{Name: "concurrency", Value: fmt.Sprint(i)}}},
			Number:  i + 1, Phases: []plan.Phase{{Name: "steady", Measure: true}},
		})
		p.Cells[i].Name = p.Cells[i].Address.String()
	}
	records := make([]record.Record, requests)
	for i := range records {
		at := int64(i+1) * 1e8
		records[i] = record.Record{
			ID: fmt.Sprintf("one-1-%d", i), Scheduled: at, Sent: at + 1, FirstEvent: at + 2e7, FirstToken: at + 3e7 + int64(i)*997, FirstOut: at + 3e7 + int64(i)*997, LastToken: at + 9e8, StreamEnd: at + 9e8 + int64(i)*7,
			InputTokens: 100, OutputTokens: 50, FirstEventTokens: 1, CachedTokens: -1, ReasoningTokens: -1, HistoryTokens: -1, AskedMin: 50, AskedMax: 50, DatasetRow: -1, TokenSource: record.TokensUsage, FinishReason: "length",
		}
	}
	for _, sink := range []struct {
		kind   string
		values schema.Values
	}{
		{"excel", schema.Values{"path": schema.Plain("r.xlsx")}}, {"sqlite", schema.Values{"path": schema.Plain("r.sqlite")}},
		{"parquet", schema.Values{"path": schema.Plain("r.parquet"), "rows": schema.Plain("requests")}}, {"csv", schema.Values{"path": schema.Plain("r.csv"), "rows": schema.Plain("requests")}},
	} {
		b.Run(sink.kind, func(b *testing.B) {
			runtime.GC()
			forgetPeak()
			for b.Loop() {
				s, err := New(plan.Sink{Type: sink.kind, Values: sink.values}, b.TempDir(), Env{})
				if err != nil {
					b.Fatal(err)
				}
				run := &result.Run{ID: "one", Scenario: "big", Plan: p}
				for i := range p.Cells {
					run.Entries = append(run.Entries, result.Entry{Address: p.Cells[i].Name, Benchmark: "b", Server: "server.a", Axes: []string{"concurrency"}, Matrix: map[string]string{"concurrency": fmt.Sprint(i)}, Phase: "steady", Verdict: result.OK})
				}
				if err := s.Begin(b.Context(), run); err != nil {
					b.Fatal(err)
				}
				for i := range p.Cells {
					if err := s.Cell(b.Context(), &result.Cell{Plan: &p.Cells[i], Server: &plan.Server{}, Records: records}); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.End(b.Context(), run); err != nil {
					b.Fatal(err)
				}
				info, err := os.Stat(filepath.Clean(s.Path()))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/1e6, "file-MB")
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/cells/requests*1e6, "s/1e6rows")
			b.ReportMetric(float64(len(requestColumns(p))), "columns")
			b.ReportMetric(peakMB(), "peak-MB")
		})
	}
}

// forgetPeak lets the kernel begin anew with the process's peak of memory.
func forgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200) }

// peakMB is that peak, 0 where the kernel does not say.
func peakMB() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kb, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.SplitN(rest, "\n", 2)[0], "kB")), 64)
	return kb / 1024
}
