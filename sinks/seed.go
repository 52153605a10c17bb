package sinks

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
)

// compatSeed makes a sink report what vLLM's multi-turn benchmark would have reported of
// the same requests: its numbers by its formulas, its tables, its workbook. Token counts
// are the server's (that tool counts the texts with a tokenizer of its own).
const compatSeed = "seed"

// seedRow is a request as that tool sees it. Times are in ms.
type seedRow struct {
	TTFT, TPOT, Latency, Start float64
	Messages                   int // in the request
	Input, Output, Chunks      int
	FirstChunk                 int // tokens in it
	Cached                     float64
	Conversation               string
	Client                     int
}

// seedRowOf recomputes a request's numbers. Its clock starts with the first byte sent and
// ends with [DONE]; only visible text counts, so that reasoning has neither tokens nor a
// first chunk; a first chunk of several tokens moves TTFT back to that of its first; an
// answer of one chunk has a TPOT of 0.
func seedRowOf(rec *record.Record) seedRow {
	r := seedRow{
		Start: float64(rec.Sent) / 1e6, Latency: float64(rec.StreamEnd-rec.Sent) / 1e6,
		Messages: 2*int(rec.Turn) + 1, Input: int(max(0, rec.InputTokens)), Output: int(max(0, rec.OutputTokens) - max(0, rec.ReasoningTokens)),
		FirstChunk: int(max(0, rec.FirstOutTokens)), Conversation: rec.ConversationID, Client: int(rec.Worker),
	}
	r.Chunks = max(0, len(rec.Events)-int(rec.ReasoningEvents)-1)
	r.TTFT = r.Latency // not streamed
	if rec.FirstOut != 0 {
		r.TTFT = float64(rec.FirstOut-rec.Sent) / 1e6
	}
	if r.Output > 1 && r.Output > r.FirstChunk {
		r.TPOT = (r.Latency - r.TTFT) / float64(r.Output-r.FirstChunk)
	}
	if r.FirstChunk > 1 {
		r.TTFT = max(0.1, r.TTFT-float64(r.FirstChunk-1)*r.TPOT)
	}
	if r.Input > 0 && rec.HistoryTokens > 0 {
		r.Cached = 100 * float64(rec.HistoryTokens) / float64(r.Input)
	}
	return r
}

// seedMetrics are the rows of that tool's statistics table.
var seedMetrics = []struct {
	name string
	of   func(*seedRow) float64
}{
	{"ttft_ms", func(r *seedRow) float64 { return r.TTFT }},
	{"tpot_ms", func(r *seedRow) float64 { return r.TPOT }},
	{"latency_ms", func(r *seedRow) float64 { return r.Latency }},
	{"input_num_turns", func(r *seedRow) float64 { return float64(r.Messages) }},
	{"input_num_tokens", func(r *seedRow) float64 { return float64(r.Input) }},
	{"output_num_tokens", func(r *seedRow) float64 { return float64(r.Output) }},
	{"output_num_chunks", func(r *seedRow) float64 { return float64(r.Chunks) }},
}

// param is a named value of the report; nil is one that was not given.
type param struct {
	name  string
	value any
}

// seedRun is the statistics over all rows but a leading share.
type seedRun struct {
	warmup  float64
	params  []param
	columns []string    // of table
	table   [][]float64 // a row for each of seedMetrics; NaN is undefined
}

// seedReport is that tool's report of one cell.
type seedReport struct {
	cell       string
	started    time.Time
	params     []param
	generation []param // empty: the conversations were not generated
	rows       []seedRow
	runs       []seedRun
}

// newSeedReport reports a cell's measured requests; nil where there is none.
func newSeedReport(run *result.Run, c *result.Cell, warmups []float64) *seedReport {
	r := &seedReport{cell: c.Plan.Name, params: seedParams(run.Plan, c), generation: generation(run.Plan, c.Plan)}
	for i := range c.Records {
		rec := &c.Records[i]
		if rec.Status == record.OK && c.Plan.Phases[rec.Phase].Measure {
			r.rows = append(r.rows, seedRowOf(rec))
		}
	}
	if len(r.rows) == 0 {
		return nil
	}
	slices.SortStableFunc(r.rows, func(a, b seedRow) int { return cmpFloat(a.Start, b.Start) })
	r.started = time.Unix(0, run.EpochUnix+int64(r.rows[0].Start*1e6))
	warmup := firstTurns(c)
	if warmup > 0 {
		warmups = []float64{0}
	}
	for _, share := range warmups {
		r.runs = append(r.runs, seedStatistics(r.rows, share, warmup))
	}
	return r
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// firstTurns is how many seconds the phases before the measured one took that sent first
// turns only: that tool's warm-up step.
func firstTurns(c *result.Cell) float64 {
	var ns int64
	for i, p := range c.Outcome.Phases {
		if ph := &c.Plan.Phases[i%len(c.Plan.Phases)]; ph.FirstTurnOnly && !ph.Measure {
			ns += p.End - p.Start
		}
	}
	return float64(ns) / 1e9
}

// seedStatistics describes the rows after a leading share of them, as pandas' describe
// does: the percentiles that it has hang on how many rows there are before the cut. The
// run time ends with the request that started last.
func seedStatistics(rows []seedRow, share, warmup float64) seedRun {
	percentiles := []float64{0.25, 0.5, 0.75, 0.9}
	for _, extra := range []struct {
		least int
		q     float64
	}{{100, 0.99}, {1000, 0.999}, {10000, 0.9999}} {
		if len(rows) >= extra.least {
			percentiles = append(percentiles, extra.q)
		}
	}
	run := seedRun{warmup: share, columns: []string{"count", "mean", "std", "min"}}
	for _, q := range percentiles {
		run.columns = append(run.columns, strconv.FormatFloat(100*q, 'g', -1, 64)+"%")
	}
	run.columns = append(run.columns, "max")
	rows = rows[int(share*float64(len(rows))):]
	last := &rows[len(rows)-1]
	seconds := (last.Start + last.Latency - rows[0].Start) / 1000
	run.params = []param{{"runtime_sec", seconds}, {"requests_per_sec", float64(len(rows)) / seconds}}
	if warmup > 0 {
		run.params = append(run.params, param{"warmup_runtime_sec", warmup}, param{"total_runtime_incl_warmup_sec", seconds + warmup})
	}
	for _, m := range seedMetrics {
		values := make([]float64, len(rows))
		for i := range rows {
			values[i] = m.of(&rows[i])
		}
		s := result.NewStats(values)
		line := []float64{float64(s.Count), orNaN(s.Mean), orNaN(s.Std), orNaN(s.Min)}
		for _, q := range percentiles {
			line = append(line, result.Percentile(values, q))
		}
		run.table = append(run.table, append(line, orNaN(s.Max)))
	}
	return run
}

func orNaN(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

// seedParams are the parameters that the tool prints of itself.
func seedParams(p *plan.Plan, c *result.Cell) []param {
	conversations := map[int64]bool{}
	for i := range c.Records {
		if n := c.Records[i].Conversation; n >= 0 {
			conversations[n] = true
		}
	}
	params := []param{{"model", c.Model}, {"num_clients", clients(c.Plan)}, {"num_conversations", len(conversations)}, {"active_conversations", nil}, {"seed", nil}}
	if n := c.Plan.Conversations.Active; n > 0 {
		params[3].value = n
	}
	for _, b := range p.Benchmarks {
		if b.Name == c.Plan.Address.Benchmark {
			params[4].value = b.Seed
		}
	}
	if n := c.Plan.Request.MinTokens; n != nil {
		params = append(params, param{"min_tokens", *n})
	}
	if n := c.Plan.Request.MaxTokens; n != nil {
		params = append(params, param{"max_tokens", *n})
	}
	return params
}

// clients is the concurrency of the measured phase, nil in an open loop.
func clients(c *plan.Cell) any {
	for i := range c.Phases {
		if p := &c.Phases[i]; p.Measure && p.Concurrency != nil {
			return int(p.Concurrency.To)
		}
	}
	return nil
}

// percentages reads shares as that tool's flag has them: "0%", "50%".
func percentages(texts []string) ([]float64, error) {
	out := []float64{}
	for _, t := range texts {
		n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(t), "%"), 64)
		if err != nil || n < 0 || n >= 100 {
			return nil, fmt.Errorf("warmup_percentages has %q: each must be a percentage from 0%% to below 100%%", t)
		}
		out = append(out, n/100)
	}
	slices.Sort(out)
	return out, nil
}

// generation describes how the cell's conversations were made, in that tool's words;
// empty where they were not made.
func generation(p *plan.Plan, c *plan.Cell) []param {
	for i := range p.Datasets {
		d := &p.Datasets[i]
		if d.Address != c.Dataset || d.Type != "synthetic" || !d.Values.Has("input_tokens") {
			continue
		}
		text := "Opticks"
		if files := d.Values.Strings("text_files"); len(files) > 0 {
			text = strings.Join(files, ", ")
		}
		turns := dist.Const(1)
		if d.Values.Has("turns") {
			turns = d.Values.Dist("turns")
		}
		return []param{
			{"text_files", text},
			{"input_num_turns", seedDist(turns, 2)}, // messages: a user's and an answer
			{"input_common_prefix_num_tokens", seedDist(d.Values.Dist("shared_prefix_tokens"), 1)},
			{"input_prefix_num_tokens", seedDist(d.Values.Dist("prefix_tokens"), 1)},
			{"input_num_tokens", seedDist(d.Values.Dist("input_tokens"), 1)},
			{"output_num_tokens", seedDist(d.Values.Dist("output_tokens"), 1)},
		}
	}
	return nil
}

// seedDist is a distribution, its values times scale, as that tool prints it.
func seedDist(d dist.Dist, scale float64) string {
	number := func(f *float64, scale float64) string {
		if f == nil {
			return "None"
		}
		return strconv.FormatFloat(*f*scale, 'g', -1, 64)
	}
	switch d.Kind {
	case dist.Constant, "":
		return "Constant[" + number(&d.Value, scale) + "]"
	case dist.Uniform:
		return "UniformDistribution[" + number(d.Min, scale) + ", " + number(d.Max, scale) + "]"
	case dist.Zipf:
		return "ZipfDistribution[" + number(d.Alpha, 1) + "]"
	case dist.Poisson:
		return "PoissonDistribution[" + number(d.Mean, scale) + "]"
	case dist.Lognormal:
		if d.Sigma != nil {
			return "LognormalDistribution[" + number(d.Mu, 1) + ", " + number(d.Sigma, 1) + ", " + number(d.Max, scale) + "]"
		}
		ratio := 0.85
		if d.MedianRatio != nil {
			ratio = *d.MedianRatio
		}
		return "LognormalDistribution[" + number(d.Mean, scale) + ", " + number(&ratio, 1) + ", " + number(d.Max, scale) + "]"
	default:
		return d.String() // one that the tool does not have
	}
}
