package result

import (
	"math/rand/v2"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// benchRecords are n ok requests of a phase, one sent every 100 µs, each with so many
// token events. Seeded: two runs of a benchmark have the same ones.
func benchRecords(n, events int) ([]record.Record, load.Outcome) {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]record.Record, n)
	kept := make([]record.Event, n*events)
	for i := range out {
		sent := int64(i+1) * 100_000
		first := sent + int64(40e6*(0.5+rng.Float64()))
		r := &out[i]
		*r = record.Record{
			Phase: 1, Scheduled: sent - rng.Int64N(50_000), Sent: sent, FirstEvent: first, FirstToken: first, FirstOut: first,
			InputTokens: 100 + rng.Int32N(900), OutputTokens: 20 + rng.Int32N(200), CachedTokens: 16, ReasoningTokens: -1,
			FirstEventTokens: 1, HistoryTokens: rng.Int32N(500), TokenSource: record.TokensUsage, AskedMin: -1, AskedMax: -1, DatasetRow: -1,
		}
		at := first
		r.Events = kept[i*events : i*events : (i+1)*events]
		for range events {
			r.Events = append(r.Events, record.Event{At: at})
			at += int64(10e6 * (0.5 + rng.Float64()))
		}
		r.LastToken = max(at, first+int64(r.OutputTokens)*10_000_000)
		r.StreamEnd = r.LastToken + 1_000_000
	}
	return out, load.Outcome{Phases: []load.PhaseOutcome{{}, {Start: 1, End: int64(n+1) * 100_000}}}
}

// BenchmarkSummarise is the summary of a million requests: every field of the registry
// (24 of them, more than the ten that people look at), with exact percentiles.
func BenchmarkSummarise(b *testing.B) {
	for _, c := range []struct {
		name   string
		events int
	}{{"rows=1e6", 0}, {"rows=1e6/events=10", 10}} {
		b.Run(c.name, func(b *testing.B) {
			records, out := benchRecords(1_000_000, c.events)
			cell := cellOf(below("fast", "ttft_ms", 50, metric.NullIsFalse))
			b.ReportAllocs()
			for b.Loop() {
				entries := Summarise(cell, &plan.Server{}, records, out)
				if entries[0].Requests.OK != 1_000_000 {
					b.Fatal("rows are missing")
				}
			}
		})
	}
}

// BenchmarkTenMetrics is the ten request-level numbers that reports show, of a million
// requests.
func BenchmarkTenMetrics(b *testing.B) {
	records, _ := benchRecords(1_000_000, 0)
	w := &window{cell: cellOf(), phase: 1, all: records}
	w.requests(false)
	b.ReportAllocs()
	for b.Loop() {
		sorted, into := &sorter{}, make([]float64, len(w.ok))
		for _, name := range []string{
			"ttft_ms", "ttfo_ms", "tpot_ms", "latency_ms", "response_time_ms",
			"send_lag_ms", "input_tokens", "output_tokens", "history_tokens", "output_tokens_per_s_per_user",
		} {
			if sorted.stats(column(w.ok, into, name)).Count != 1_000_000 {
				b.Fatal("rows are missing")
			}
		}
	}
}
