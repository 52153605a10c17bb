package sinks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// compatBenchy makes a sink report what llama-benchy would have reported of a closed loop's
// requests.
const compatBenchy = "llama-benchy"

const benchyDoc = "Its batch is as many requests as its concurrency that start together: here those of a closed loop in the order in which they were sent, a group of that many each; the repeats of a cell are its runs. A phase with requests = concurrency is that tool's load; the groups of a longer one do not start together, and their prompts' total speed says little. Open loops are left out."

// latencyAttr stands for the tool's probe, which our runs do not make.
var latencyAttr = schema.Attr{
	Name: "latency", Type: schema.Duration, DefaultDoc: `0, as its latency mode "none"`,
	Doc: `What llama-benchy takes off the time to the first event to estimate that of the prompt (est_ppt, t/s (req)). It measures how long GET /v1/models takes (its mode "api", the default); we measure no such thing. To match a table of it give the latency that it printed.`,
}

func init() {
	register(schema.Kind{
		Name: compatBenchy, Doc: "llama-benchy's JSON, a file a server, recomputed from the raw events by its definitions, not by those of sparkrun help metrics. " + benchyDoc,
		Attrs: []schema.Attr{pathAttr("llama-benchy.json"), latencyAttr},
	}, func(s plan.Sink, dir string, _ Env) (Sink, error) {
		return &benchyJSON{path: pathOf(s, dir), benchy: newBenchy(s)}, nil
	})
}

// benchyMetric is a number of a test: over its requests, or over its batches.
type benchyMetric struct {
	Mean   float64   `json:"mean"`
	Std    float64   `json:"std"`
	Values []float64 `json:"values"`
}

// benchyRow is a test as the tool's JSON has it. Rates are tokens/s, times ms; null has no value.
type benchyRow struct {
	Concurrency    int           `json:"concurrency"`
	Context        int           `json:"context_size"` // tokens in front of the prompt
	Prompt         int           `json:"prompt_size"`
	Response       int           `json:"response_size"`
	ContextPrefill bool          `json:"is_context_prefill_phase"` // false: we send no context alone
	PP             *benchyMetric `json:"pp_throughput"`
	PPRequest      *benchyMetric `json:"pp_req_throughput"`
	TG             *benchyMetric `json:"tg_throughput"`
	TGRequest      *benchyMetric `json:"tg_req_throughput"`
	Peak           *benchyMetric `json:"peak_throughput"`
	PeakRequest    *benchyMetric `json:"peak_req_throughput"`
	TTFR           *benchyMetric `json:"ttfr"`
	PPT            *benchyMetric `json:"est_ppt"`
	TTFT           *benchyMetric `json:"e2e_ttft"`
	OverTime       *[]any        `json:"throughput_over_time"` // null as without its flags
	RequestsTime   *[]any        `json:"requests_throughput_over_time"`
}

// benchyReport is its report of one server.
type benchyReport struct {
	Version        string      `json:"version"`
	Timestamp      string      `json:"timestamp"`
	LatencyMode    string      `json:"latency_mode"`
	LatencyMS      float64     `json:"latency_ms"`
	Model          string      `json:"model"`
	PrefixCaching  bool        `json:"prefix_caching_enabled"` // its mode of context and prompt apart, which we have not
	MaxConcurrency int         `json:"max_concurrency"`
	Rows           []benchyRow `json:"benchmarks"`

	Doubts []string `json:"doubts,omitempty"` // ours: what its cells are marked with

	server string
}

// benchyTest are the values of a test, in s and tokens/s.
type benchyTest struct {
	key, server, model    string
	row                   benchyRow
	pp, tg, peak          []float64 // a batch
	ppReq, tgReq, peakReq []float64 // a request
	ttfr, ppt, ttft       []float64
}

// benchy gathers the tests of a run.
type benchy struct {
	latency time.Duration
	plan    *plan.Plan
	tests   []*benchyTest
}

func newBenchy(s plan.Sink) benchy { return benchy{latency: s.Values.Duration("latency")} }

func (y *benchy) Begin(_ context.Context, r *result.Run) error {
	y.plan = r.Plan
	return nil
}

func (y *benchy) Cell(_ context.Context, c *result.Cell) error {
	for _, s := range stretches(c) {
		if s.phase.Concurrency == nil {
			continue
		}
		address := c.Plan.Address
		address.Repeat = 0
		key := address.Canonical() + " " + s.phase.Name
		i := slices.IndexFunc(y.tests, func(t *benchyTest) bool { return t.key == key })
		if i < 0 {
			row := benchyRow{Concurrency: int(s.phase.Concurrency.To)}
			row.Context, row.Prompt, row.Response = sizes(y.plan, c.Plan, s.records)
			i, y.tests = len(y.tests), append(y.tests, &benchyTest{key: key, server: c.Plan.Server, row: row})
		}
		t := y.tests[i]
		t.model = cmp.Or(t.model, c.Model)
		for batch := range slices.Chunk(s.records, t.row.Concurrency) {
			if len(batch) == t.row.Concurrency || len(s.records) < t.row.Concurrency {
				t.add(batch, y.latency.Seconds())
			}
		}
	}
	return nil
}

// sizes are the tokens of a test: in front of the prompt, of it and of the answer, as the
// dataset has them, or where they are not fixed there the medians of what was measured.
func sizes(p *plan.Plan, c *plan.Cell, records []*record.Record) (context, prompt, response int) {
	for i := range p.Datasets {
		d := &p.Datasets[i]
		if d.Address != c.Dataset {
			continue
		}
		if n, _ := fmt.Sscanf(d.Values.String("shape"), "D(%d,%d)", &prompt, &response); n < 2 {
			context, prompt, response = fixed(d.Values, "prefix_tokens"), fixed(d.Values, "input_tokens"), fixed(d.Values, "output_tokens")
		}
	}
	if n := c.Request.MaxTokens; n != nil {
		response = int(*n)
	}
	if prompt == 0 {
		context, prompt = 0, medianOf(records, func(r *record.Record) int32 { return r.InputTokens })
	}
	if response == 0 {
		response = medianOf(records, func(r *record.Record) int32 { return r.OutputTokens })
	}
	return context, prompt, response
}

// fixed is a distribution's one value, 0 where it has several.
func fixed(v schema.Values, name string) int {
	if d := v.Dist(name); d.Kind == dist.Constant || d.Kind == "" {
		return int(d.Value)
	}
	return 0
}

func medianOf(records []*record.Record, of func(*record.Record) int32) int {
	var values []float64
	for _, rec := range records {
		if rec.Status == record.OK {
			values = append(values, float64(max(0, of(rec))))
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return int(math.Round(result.Percentile(values, 0.5)))
}

// add takes a batch. Of a request: ttfr ends with the first event of a choice, est_ppt is that
// less the latency, the prompt's speed is its tokens / est_ppt, the answer's (tokens after the
// first time of one) / (last − first). Of a batch: its prompts' tokens / (last first token −
// first send), and those of the answers / (last token − first token), over all its requests.
func (t *benchyTest) add(batch []*record.Record, latency float64) {
	var prompts, after float64
	var all []float64
	start, firstToken, lastFirst, lastToken := math.Inf(1), math.Inf(1), 0.0, 0.0
	for _, rec := range batch {
		if rec.Status != record.OK || len(rec.Events) == 0 {
			continue // failed, or not streamed
		}
		at, sent, first := tokenTimes(rec), span(0, rec.Sent), span(0, rec.Events[0].At)
		ttfr := span(rec.Sent, chunks(rec)[0])
		ppt := max(0, ttfr-latency)
		t.ttfr, t.ttft, t.ppt = append(t.ttfr, ttfr), append(t.ttft, first-sent), append(t.ppt, ppt)
		// A server's count far from what was asked is not of this prompt alone.
		tokens := float64(t.row.Context + t.row.Prompt)
		if in := float64(rec.InputTokens); in > 0 && math.Abs(in-tokens) < 0.2*tokens {
			tokens = in
		}
		if ppt > 0 {
			t.ppReq = append(t.ppReq, tokens/ppt)
		}
		prompts += tokens
		start, firstToken, lastFirst = min(start, sent), min(firstToken, first), max(lastFirst, first)
		if len(at) == 0 {
			continue
		}
		n, last := afterFirst(at), at[len(at)-1]
		if n > 0 {
			t.tgReq = append(t.tgReq, n/(last-at[0]))
		}
		t.peakReq = append(t.peakReq, peakRate(at))
		after, lastToken, all = after+n, max(lastToken, last), append(all, at...)
	}
	if lastFirst > start {
		t.pp = append(t.pp, prompts/(lastFirst-start))
	}
	if after > 0 {
		t.tg = append(t.tg, after/(lastToken-firstToken))
	}
	if len(all) > 0 {
		t.peak = append(t.peak, peakRate(all))
	}
}

// tokenTimes are when an answer's tokens came: those of its events where each has one, else
// evenly from the first event to the last, as the server counts them.
func tokenTimes(rec *record.Record) []float64 {
	n := max(0, int(rec.OutputTokens))
	at := make([]float64, n)
	first := span(0, rec.Events[0].At)
	step := (span(0, rec.Events[len(rec.Events)-1].At) - first) / float64(max(1, n-1))
	for i := range at {
		if at[i] = first + float64(i)*step; n == len(rec.Events) {
			at[i] = span(0, rec.Events[i].At)
		}
	}
	return at
}

// afterFirst counts the tokens that did not come with the first.
func afterFirst(at []float64) (n float64) {
	for _, t := range at {
		if t > at[0] {
			n++
		}
	}
	return n
}

// peakRate is the most tokens within a second; of less than a second all of them over that. It
// sorts the times.
func peakRate(at []float64) float64 {
	slices.Sort(at)
	n := len(at)
	if whole := at[n-1] - at[0]; whole > 0 && whole < 1 {
		return float64(n) / whole
	}
	most, from := 0, 0
	for to := range at {
		for at[from] <= at[to]-1 {
			from++
		}
		most = max(most, to-from+1)
	}
	return float64(most)
}

// newBenchyMetric describes values; nil of none.
func newBenchyMetric(values []float64, scale float64) *benchyMetric {
	if len(values) == 0 {
		return nil
	}
	m := &benchyMetric{}
	for _, v := range values {
		m.Values = append(m.Values, v*scale)
	}
	m.Mean, m.Std = statistics(m.Values)
	return m
}

// finish is the test's row. Alone in flight, a request is its own batch.
func (t *benchyTest) finish() benchyRow {
	r := t.row
	r.PPRequest, r.TGRequest = newBenchyMetric(t.ppReq, 1), newBenchyMetric(t.tgReq, 1)
	r.PP, r.TG = r.PPRequest, r.TGRequest
	if r.Concurrency > 1 {
		r.PP, r.TG = newBenchyMetric(t.pp, 1), newBenchyMetric(t.tg, 1)
	}
	r.Peak, r.PeakRequest = newBenchyMetric(t.peak, 1), newBenchyMetric(t.peakReq, 1)
	r.TTFR, r.PPT, r.TTFT = newBenchyMetric(t.ttfr, 1000), newBenchyMetric(t.ppt, 1000), newBenchyMetric(t.ttft, 1000)
	return r
}

// reports are those of the run's servers, by their addresses; tests in the order in which the
// tool runs them.
func (y *benchy) reports(run *result.Run) (all []*benchyReport) {
	for _, server := range serversOf(run.Plan) {
		r := &benchyReport{
			Version: "sparkrun " + run.Version, Timestamp: run.Started.UTC().Format("2006-01-02 15:04:05Z"),
			LatencyMode: "none", LatencyMS: 1000 * y.latency.Seconds(), MaxConcurrency: 1, Rows: []benchyRow{}, server: strings.TrimPrefix(server, "server."),
		}
		if y.latency > 0 {
			r.LatencyMode = "api"
		}
		for _, t := range y.tests {
			if t.server == server {
				r.Model, r.MaxConcurrency, r.Rows = cmp.Or(r.Model, t.model), max(r.MaxConcurrency, t.row.Concurrency), append(r.Rows, t.finish())
			}
		}
		for _, d := range doubtsOf(slices.DeleteFunc(slices.Clone(run.Entries), func(e result.Entry) bool { return e.Server != server })) {
			r.Doubts = append(r.Doubts, fmt.Sprintf("%s %s: %s", d.of.sign, d.of.address, d.text()))
		}
		slices.SortStableFunc(r.Rows, func(a, b benchyRow) int {
			return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.Prompt, b.Prompt), cmp.Compare(a.Response, b.Response), cmp.Compare(a.Concurrency, b.Concurrency))
		})
		all = append(all, r)
	}
	return all
}

// serversOf are the addresses of the servers that cells run on, sorted.
func serversOf(p *plan.Plan) (addresses []string) {
	for i := range p.Cells {
		addresses = append(addresses, p.Cells[i].Server)
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// table is the report as the tool prints it: a pipe table, prompts and answers a line each.
func (r *benchyReport) table(plain func(string) string) string {
	lines := [][]string{{"model", "test", "t/s", "peak t/s", "ttfr (ms)", "est_ppt (ms)", "e2e_ttft (ms)"}}
	several := r.MaxConcurrency > 1
	if several {
		lines[0] = []string{"model", "test", "t/s (total)", "t/s (req)", "peak t/s", "peak t/s (req)", "ttfr (ms)", "est_ppt (ms)", "e2e_ttft (ms)"}
	}
	line := func(test string, total, request, peak, peakRequest, ttfr, ppt, ttft *benchyMetric) {
		cells := []*benchyMetric{total, peak, ttfr, ppt, ttft}
		if several {
			cells = []*benchyMetric{total, request, peak, peakRequest, ttfr, ppt, ttft}
		}
		texts := []string{plain(r.Model), test}
		for _, m := range cells {
			text := ""
			if m != nil {
				text = fmt.Sprintf("%.2f ± %.2f", m.Mean, m.Std)
			}
			texts = append(texts, text)
		}
		lines = append(lines, texts)
	}
	for i := range r.Rows {
		w := &r.Rows[i]
		suffix := ""
		if w.Context > 0 {
			suffix = fmt.Sprintf(" @ d%d", w.Context)
		}
		if several {
			suffix += fmt.Sprintf(" (c%d)", w.Concurrency)
		}
		if w.PP != nil {
			line(fmt.Sprintf("pp%d%s", w.Prompt, suffix), w.PP, w.PPRequest, nil, nil, w.TTFR, w.PPT, w.TTFT)
		}
		if w.TG != nil || w.Peak != nil {
			line(fmt.Sprintf("tg%d%s", w.Response, suffix), w.TG, w.TGRequest, w.Peak, w.PeakRequest, nil, nil, nil)
		}
	}
	if len(lines) == 1 {
		return "No cell in a closed loop has a streamed answer.\n"
	}
	return pipes(lines)
}

// pipes lays out a pipe table: the first column to the left, the others to the right.
func pipes(lines [][]string) string {
	width := make([]int, len(lines[0]))
	for i, l := range lines {
		for j, text := range l {
			n := utf8.RuneCountInString(text)
			if i == 0 {
				n += 2
			}
			width[j] = max(width[j], n)
		}
	}
	var b strings.Builder
	for i, l := range lines {
		for j, text := range l {
			w := width[j]
			if j == 0 {
				w = -w
			}
			fmt.Fprintf(&b, "| %*s ", w, text)
		}
		b.WriteString("|\n")
		for j := range l {
			if i > 0 {
				break
			}
			rule := []byte("|" + strings.Repeat("-", width[j]+2))
			if j == 0 {
				rule[1] = ':'
			} else {
				rule[len(rule)-1] = ':'
			}
			b.Write(rule)
			if j == len(l)-1 {
				b.WriteString("|\n")
			}
		}
	}
	return b.String()
}

// tables are those of all servers, each under its name where there are several.
func (y *benchy) tables(run *result.Run, plain func(string) string) string {
	var b strings.Builder
	all := y.reports(run)
	for _, r := range all {
		b.WriteByte('\n')
		if len(all) > 1 {
			fmt.Fprintf(&b, "%s:\n\n", plain(r.server))
		}
		b.WriteString(r.table(plain))
	}
	if len(all) > 0 {
		fmt.Fprintf(&b, "\n%s, by the formulas of llama-benchy | latency mode: %s\n", all[0].Version, all[0].LatencyMode)
	}
	return b.String()
}

// benchyConsole prints the tables when the run has ended.
type benchyConsole struct {
	w io.Writer
	benchy
}

func (*benchyConsole) Path() string { return "" }

func (c *benchyConsole) End(_ context.Context, r *result.Run) error {
	var b strings.Builder
	b.WriteString(c.tables(r, func(s string) string { return s }))
	doubts(&b, r.Entries, 0)
	_, err := io.WriteString(c.w, b.String())
	return err
}

// benchyJSON writes the tool's file, of several servers one each.
type benchyJSON struct {
	path string
	benchy
}

func (s *benchyJSON) Path() string { return s.path }

func (s *benchyJSON) Begin(ctx context.Context, r *result.Run) error {
	_ = s.benchy.Begin(ctx, r) // it can't fail
	return writable(s.file(strings.TrimPrefix(serversOf(r.Plan)[0], "server.")))
}

// file is that of a server: as it is named where there is one, else with its name.
func (s *benchyJSON) file(server string) string {
	if len(serversOf(s.plan)) == 1 {
		return s.path
	}
	return beside(s.path, strings.NewReplacer("/", "%2F", "%", "%25").Replace(server))
}

func (s *benchyJSON) End(_ context.Context, r *result.Run) error {
	for _, report := range s.reports(r) {
		err := replace(s.file(report.server), func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			return enc.Encode(report)
		})
		if err != nil {
			return err
		}
	}
	if len(serversOf(s.plan)) > 1 {
		s.path = beside(s.path, "*")
	}
	return nil
}
