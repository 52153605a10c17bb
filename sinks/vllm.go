package sinks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// compatVLLM makes a sink report what `vllm bench serve` would have reported of the requests
// of a measured phase: the block that it prints, the JSON of its --save-result.
const compatVLLM = "vllm"

// vllmReport is that tool's report of a phase. Times are in seconds.
type vllmReport struct {
	run  *result.Run
	cell *result.Cell
	stretch
	limits                      map[string]float64 // of its goodput, in ms; none: it has no such line
	duration                    float64            // first send to the last end, also of failed requests
	completed, good             int
	input, output               int // tokens of the completed requests
	ttfts, tpots, itls, e2els   []float64
	peakTokens, peakConcurrency int
}

// newVLLMReport recomputes a phase. A request's clock starts as it is sent; its first event
// of a choice ends TTFT, its last one the latency, and the gaps between all of them are ITL,
// whatever they carry; TPOT is (latency − TTFT) / (tokens − 1), undefined for one token, as
// which goodput takes it for 0.
func newVLLMReport(run *result.Run, c *result.Cell, s stretch, limits map[string]float64) *vllmReport {
	r := &vllmReport{run: run, cell: c, stretch: s, limits: limits}
	var first, origin, end int64 // of all requests; of those that are ok
	tokens := map[int64]int{}    // by second
	var edges []edge
	for _, rec := range s.records {
		if rec.Sent != 0 && first == 0 {
			first = rec.Sent
		}
		end = max(end, rec.StreamEnd, rec.LastToken)
		if rec.Status != record.OK {
			continue
		}
		if r.completed == 0 {
			origin = rec.Sent
		}
		at := chunks(rec)
		last := at[len(at)-1]
		ttft, latency := span(rec.Sent, at[0]), span(rec.Sent, last)
		r.completed++
		r.input += int(max(0, rec.InputTokens))
		r.output += int(max(0, rec.OutputTokens))
		r.ttfts, r.e2els = append(r.ttfts, ttft), append(r.e2els, latency)
		tpot := 0.0
		if rec.OutputTokens > 1 {
			tpot = (latency - ttft) / float64(rec.OutputTokens-1)
			r.tpots = append(r.tpots, tpot)
		}
		r.itls = append(r.itls, gaps(at)...)
		met := true
		for name, value := range map[string]float64{"ttft": ttft, "tpot": tpot, "e2el": latency} {
			if limit, has := limits[name]; has && value > limit/1000 {
				met = false
			}
		}
		if met {
			r.good++
		}
		for _, t := range at {
			tokens[(t-origin)/int64(time.Second)]++
		}
		edges = append(edges, edge{rec.Sent, 1}, edge{last, -1})
	}
	if first != 0 {
		r.duration = span(first, end)
	}
	for _, n := range tokens {
		r.peakTokens = max(r.peakTokens, n)
	}
	r.peakConcurrency = most(edges)
	return r
}

// gaps are the times between neighbours, in seconds.
func gaps(at []int64) []float64 {
	out := make([]float64, len(at)-1)
	for i := range out {
		out[i] = span(at[i], at[i+1])
	}
	return out
}

// edge is the beginning (+1) or the end (−1) of a request.
type edge struct {
	at int64
	by int
}

// most is how many requests there were at once; one that ends as another begins is not beside it.
func most(edges []edge) (peak int) {
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	now := 0
	for _, e := range edges {
		now += e.by
		peak = max(peak, now)
	}
	return peak
}

// perSecond is a rate over the whole phase; 0 where nothing was sent.
func (r *vllmReport) perSecond(n int) float64 {
	if r.duration == 0 {
		return 0
	}
	return float64(n) / r.duration
}

// load is what the tool was asked for: requests in flight at most and arrivals per second, nil
// where there is no such limit.
func (r *vllmReport) load() (concurrency, rate any) {
	switch p := r.phase; {
	case p.Concurrency != nil:
		concurrency = int(p.Concurrency.To)
	case p.MaxInFlight > 0:
		concurrency = int(p.MaxInFlight)
	}
	if c := r.phase.Rate; c != nil && c.From == c.To {
		rate = c.To
	}
	return concurrency, rate
}

// vllmMetrics are its latencies, each with mean, median, standard deviation and p99 in ms; 0 where no
// request has it.
var vllmMetrics = []struct {
	key, name, title string
	of               func(*vllmReport) []float64
}{
	{"ttft", "TTFT", "Time to First Token", func(r *vllmReport) []float64 { return r.ttfts }},
	{"tpot", "TPOT", "Time per Output Token (excl. 1st token)", func(r *vllmReport) []float64 { return r.tpots }},
	{"itl", "ITL", "Inter-token Latency", func(r *vllmReport) []float64 { return r.itls }},
	{"e2el", "E2EL", "End-to-end Latency", func(r *vllmReport) []float64 { return r.e2els }},
}

// vllmStatistics describes seconds in ms.
func vllmStatistics(values []float64) (mean, median, std, p99 float64) {
	if len(values) == 0 {
		return 0, 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mean, std = statistics(sorted)
	return 1000 * mean, 1000 * result.Percentile(sorted, 0.5), 1000 * std, 1000 * result.Percentile(sorted, 0.99)
}

// print writes the block that it prints at its end.
func (r *vllmReport) print(b *strings.Builder) {
	line := func(name string, value any) {
		text := fmt.Sprint(value)
		if f, ok := value.(float64); ok {
			text = strconv.FormatFloat(f, 'f', 2, 64)
		}
		fmt.Fprintf(b, "%-40s %-10s\n", name+":", text)
	}
	fmt.Fprintf(b, "\n%s %s\n%s\n", r.cell.Plan.Name, r.phase.Name, centred(" Serving Benchmark Result ", '='))
	line("Successful requests", r.completed)
	line("Failed requests", len(r.records)-r.completed)
	concurrency, rate := r.load()
	if concurrency != nil {
		line("Maximum request concurrency", concurrency)
	}
	if rate != nil {
		line("Request rate configured (RPS)", rate)
	}
	line("Benchmark duration (s)", r.duration)
	line("Total input tokens", r.input)
	line("Total generated tokens", r.output)
	line("Request throughput (req/s)", r.perSecond(r.completed))
	if len(r.limits) > 0 {
		line("Request goodput (req/s)", r.perSecond(r.good))
	}
	line("Output token throughput (tok/s)", r.perSecond(r.output))
	line("Peak output token throughput (tok/s)", float64(r.peakTokens))
	line("Peak concurrent requests", float64(r.peakConcurrency))
	line("Total token throughput (tok/s)", r.perSecond(r.input+r.output))
	for _, m := range vllmMetrics {
		mean, median, _, p99 := vllmStatistics(m.of(r))
		b.WriteString(centred(m.title, '-') + "\n")
		line("Mean "+m.name+" (ms)", mean)
		line("Median "+m.name+" (ms)", median)
		line("P99 "+m.name+" (ms)", p99)
	}
	b.WriteString(strings.Repeat("=", 50) + "\n")
}

// centred is a title in the middle of a line of 50.
func centred(title string, fill rune) string {
	n := max(0, 50-len(title))
	return strings.Repeat(string(fill), n/2) + title + strings.Repeat(string(fill), n-n/2)
}

// fields are the members of its result's file, in its order. Ours stand where
// its --metadata are: run_id, cell, phase, verdict, doubts.
func (r *vllmReport) fields(detailed bool) []param {
	concurrency, rate := r.load()
	p, api := r.phase, map[bool]string{true: "openai-chat", false: "openai"}[r.cell.Plan.API == "chat"]
	burstiness := any(1.0)
	switch p.Arrival {
	case "gamma":
		burstiness = p.Burstiness
	case "constant":
		burstiness = "inf"
	}
	if rate == nil {
		rate = "inf"
	}
	goodput := any(nil)
	if len(r.limits) > 0 {
		goodput = r.perSecond(r.good)
	}
	verdict, doubted := result.Skipped, []string{}
	if r.entry != nil {
		verdict = r.entry.Verdict
		for _, d := range doubtsOf([]result.Entry{*r.entry}) {
			doubted = append(doubted, d.text())
		}
	}
	began := r.run.Started
	if len(r.records) > 0 {
		began = time.Unix(0, r.run.EpochUnix+r.records[0].Scheduled)
	}
	fields := []param{
		{"date", began.Format("20060102-150405")},
		{"endpoint_type", api},
		{"backend", api},
		{"label", nil},
		{"model_id", r.cell.Model},
		{"tokenizer_id", nil}, // tokens are the server's count
		{"num_prompts", len(r.records)},
		{"run_id", r.run.ID},
		{"cell", r.cell.Plan.Name},
		{"phase", p.Name},
		{"verdict", verdict},
		{"doubts", doubted},
		{"request_rate", rate},
		{"burstiness", burstiness},
		{"max_concurrency", concurrency},
		{"duration", r.duration},
		{"completed", r.completed},
		{"failed", len(r.records) - r.completed},
		{"total_input_tokens", r.input},
		{"total_output_tokens", r.output},
		{"request_throughput", r.perSecond(r.completed)},
		{"request_goodput", goodput},
		{"output_throughput", r.perSecond(r.output)},
		{"total_token_throughput", r.perSecond(r.input + r.output)},
	}
	if detailed {
		fields = append(fields, r.lists()...)
	}
	fields = append(fields, param{"max_output_tokens_per_s", float64(r.peakTokens)}, param{"max_concurrent_requests", r.peakConcurrency}, param{"rtfx", 0.0})
	for _, m := range vllmMetrics {
		mean, median, std, p99 := vllmStatistics(m.of(r))
		fields = append(fields, param{"mean_" + m.key + "_ms", mean}, param{"median_" + m.key + "_ms", median}, param{"std_" + m.key + "_ms", std}, param{"p99_" + m.key + "_ms", p99})
	}
	return fields
}

// lists are the members with a value a request; those of a failed one are 0 or empty, as there.
func (r *vllmReport) lists() []param {
	n := len(r.records)
	input, output := make([]int, n), make([]int, n)
	ttfts, latencies, starts, queued := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	itls, texts, errors := make([][]float64, n), make([]string, n), make([]string, n)
	for i, rec := range r.records {
		input[i], starts[i], errors[i] = int(max(0, rec.InputTokens)), span(0, rec.Sent), rec.Error
		itls[i] = []float64{}
		if rec.Sent != 0 {
			queued[i] = span(rec.Scheduled, rec.Sent)
		}
		if rec.Status != record.OK {
			continue
		}
		at := chunks(rec)
		output[i], texts[i] = int(max(0, rec.OutputTokens)), rec.Answer.Content
		ttfts[i], latencies[i], itls[i] = span(rec.Sent, at[0]), span(rec.Sent, at[len(at)-1]), gaps(at)
	}
	lists := []param{{"input_lens", input}, {"output_lens", output}, {"ttfts", ttfts}, {"itls", itls}, {"latencies", latencies}, {"start_times", starts}, {"queue_times", queued}}
	if r.cell.Plan.Record.Content {
		lists = append(lists, param{"generated_texts", texts})
	}
	return append(lists, param{"errors", errors})
}

// vllmJSON writes the file of its --save-result, one for each cell and measured phase.
type vllmJSON struct {
	path     string
	limits   map[string]float64
	detailed bool
	run      *result.Run
}

func (s *vllmJSON) Path() string { return s.path }

func (s *vllmJSON) Begin(_ context.Context, r *result.Run) error {
	s.run = r
	c := &r.Plan.Cells[0]
	return writable(s.file(c, cmp.Or(phasesOf(c)...)))
}

// phasesOf are the names of a cell's measured phases.
func phasesOf(c *plan.Cell) (names []string) {
	for i := range c.Phases {
		if c.Phases[i].Measure {
			names = append(names, c.Phases[i].Name)
		}
	}
	return names
}

// file is that of a cell and phase: results.json, results-7.json of several cells,
// results-7-steady.json of several phases.
func (s *vllmJSON) file(c *plan.Cell, phase string) string {
	path := s.path
	if len(s.run.Plan.Cells) > 1 {
		path = beside(path, strconv.Itoa(c.Number))
	}
	if len(phasesOf(c)) > 1 {
		path = beside(path, phase)
	}
	return path
}

func (s *vllmJSON) Cell(_ context.Context, c *result.Cell) error {
	for _, st := range stretches(c) {
		b, err := object(newVLLMReport(s.run, c, st, s.limits).fields(s.detailed))
		if err == nil {
			err = replace(s.file(c.Plan, st.phase.Name), func(w io.Writer) error {
				_, err := w.Write(b)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *vllmJSON) End(_ context.Context, r *result.Run) error {
	if c := &r.Plan.Cells[0]; s.file(c, "") != s.path {
		s.path = beside(s.path, "*")
	}
	return nil
}

// object is a JSON object with its members in the order given.
func object(members []param) ([]byte, error) {
	var b bytes.Buffer
	for i, m := range members {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", m.name, err)
		}
		fmt.Fprintf(&b, "%c%q: %s", "{,"[min(i, 1)], m.name, value)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// goodputLimits reads limits in ms as that tool's flag has them: "ttft:500".
func goodputLimits(texts []string) (map[string]float64, error) {
	limits := map[string]float64{}
	for _, t := range texts {
		name, text, _ := strings.Cut(t, ":")
		ms, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ms >= 0) || !slices.Contains([]string{"ttft", "tpot", "e2el"}, name) {
			return nil, fmt.Errorf("goodput has %q: each must be ttft, tpot or e2el, a colon and a number of ms, as \"ttft:500\"", t)
		}
		limits[name] = ms
	}
	return limits, nil
}
