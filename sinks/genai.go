package sinks

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// compatGenAI makes a sink report the table of genai-bench: a line for each scenario and
// concurrency, by that tool's formulas.
const compatGenAI = "genai-bench"

// genaiTarget is the speed in tokens/s and user that its summary asks for.
const genaiTarget = 10.0

// genaiRow is a line of its table: means over the requests of a cell's measured phases.
type genaiRow struct {
	server, scenario string
	concurrency      int
	ttft, speed      float64 // s; tokens/s of one request
	output, latency  float64 // tokens/s of the server; s
	requests, total  float64 // 1/s; tokens/s, prompts included
}

var genaiColumns = []string{
	"GPU Type", "Use Case", "Concurrency", "TTFT (s)", "Output Inference Speed per Request (tokens/s)", "Output Throughput of Server (tokens/s)",
	"End-to-End Latency per Request (s)", "Request Throughput (RPS)", "Total Throughput (Input + Output) of Server (tokens/s)",
}

func (r *genaiRow) values() []any {
	return []any{r.server, r.scenario, r.concurrency, r.ttft, r.speed, r.output, r.latency, r.requests, r.total}
}

// newGenaiRow recomputes a cell's line: latency ends with the stream, TPOT is (latency −
// TTFT) / (tokens − 1) and undefined for one token or under 1 ms of output, the run lasts
// from the first send to the last end. ok is false where no request succeeded.
func newGenaiRow(p *plan.Plan, c *result.Cell) (row genaiRow, ok bool) {
	var ttft, speed, latency mean
	var first, last int64
	var input, output float64
	for i := range c.Records {
		rec := &c.Records[i]
		if rec.Status != record.OK || !c.Plan.Phases[rec.Phase].Measure {
			continue
		}
		e2e := float64(rec.StreamEnd-rec.Sent) / 1e9
		latency.add(e2e)
		if rec.FirstToken != 0 {
			t := float64(rec.FirstToken-rec.Sent) / 1e9
			ttft.add(t)
			if rec.OutputTokens > 1 && e2e-t >= 1e-3 {
				speed.add(float64(rec.OutputTokens-1) / (e2e - t))
			}
		}
		if first == 0 || rec.Sent < first {
			first = rec.Sent
		}
		last = max(last, rec.StreamEnd)
		input += float64(max(0, rec.InputTokens))
		output += float64(max(0, rec.OutputTokens))
	}
	if latency.n == 0 {
		return row, false
	}
	seconds := float64(last-first) / 1e9
	users, _ := clients(c.Plan).(int)
	return genaiRow{
		server: strings.TrimPrefix(c.Plan.Server, "server."), scenario: useCase(p, c.Plan), concurrency: users,
		ttft: ttft.value(), speed: speed.value(), output: output / seconds,
		latency: latency.value(), requests: latency.n / seconds, total: (input + output) / seconds,
	}, true
}

// mean is a running mean, NaN of nothing.
type mean struct{ sum, n float64 }

func (m *mean) add(v float64)  { m.sum, m.n = m.sum+v, m.n+1 }
func (m *mean) value() float64 { return m.sum / m.n }

// useCase is the cell's scenario as genai-bench writes it, or its dataset's name.
func useCase(p *plan.Plan, c *plan.Cell) string {
	for i := range p.Datasets {
		if d := &p.Datasets[i]; d.Address == c.Dataset && d.Values.String("shape") != "" {
			return d.Values.String("shape")
		}
	}
	return strings.TrimPrefix(c.Dataset, "dataset.")
}

// sortGenai orders lines as that tool runs them: scenario by scenario, concurrency up.
func sortGenai(rows []genaiRow) {
	slices.SortStableFunc(rows, func(a, b genaiRow) int {
		return cmp.Or(cmp.Compare(a.server, b.server), cmp.Compare(a.scenario, b.scenario), cmp.Compare(a.concurrency, b.concurrency))
	})
}

// genaiSummary is its choice for a scenario: the highest concurrency at which a user still
// gets the target speed, going up until a step changes neither throughput by 5 %.
func genaiSummary(rows []genaiRow) (best *genaiRow) {
	for i := range rows {
		r := &rows[i]
		if r.speed > genaiTarget {
			best = r
		}
		if i > 0 && little(rows[i-1].total, r.total) && little(rows[i-1].requests, r.requests) {
			break
		}
	}
	return best
}

func little(before, now float64) bool { return math.Abs(now-before) < 0.05*before }

// genaiConsole prints the table when the run has ended.
type genaiConsole struct {
	w    io.Writer
	plan *plan.Plan
	rows []genaiRow
}

func (*genaiConsole) Path() string { return "" }

func (c *genaiConsole) Begin(_ context.Context, r *result.Run) error {
	c.plan = r.Plan
	return nil
}

func (c *genaiConsole) Cell(_ context.Context, cell *result.Cell) error {
	if row, ok := newGenaiRow(c.plan, cell); ok {
		c.rows = append(c.rows, row)
	}
	return nil
}

func (c *genaiConsole) End(_ context.Context, r *result.Run) error {
	sortGenai(c.rows)
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nserver\tscenario\tconcurrency\tTTFT (s)\tspeed/request (tok/s)\toutput (tok/s)\tE2E (s)\tRPS\ttotal (tok/s)\t")
	for i := range c.rows {
		q := &c.rows[i]
		fmt.Fprintf(w, "%s\t%s\t%d\t%.3f\t%.2f\t%.2f\t%.3f\t%.3f\t%.2f\t\n", q.server, q.scenario, q.concurrency, q.ttft, q.speed, q.output, q.latency, q.requests, q.total)
	}
	w.Flush()
	doubts(&b, r.Entries, 0)
	_, err := io.WriteString(c.w, b.String())
	return err
}

// genaiExcel writes the two sheets of its workbook that people read: the choice for each
// scenario, and the table.
type genaiExcel struct {
	path string
	genaiConsole
}

func (x *genaiExcel) Path() string { return x.path }

func (x *genaiExcel) Begin(ctx context.Context, r *result.Run) error {
	if err := writable(x.path); err != nil {
		return err
	}
	return x.genaiConsole.Begin(ctx, r)
}

func (x *genaiExcel) End(context.Context, *result.Run) error {
	sortGenai(x.rows)
	file := excelize.NewFile()
	defer file.Close()
	const appendix = "Appendix"
	if err := file.SetSheetName("Sheet1", sheetSummary); err != nil {
		return err
	}
	if _, err := file.NewSheet(appendix); err != nil {
		return err
	}
	summary, table := &cells{file: file, sheet: sheetSummary}, &cells{file: file, sheet: appendix}
	summary.row(0, "GPU Type", "Use Case", fmt.Sprintf("Concurrency at target speed (>%.0f tokens/s)", genaiTarget), "Total Throughput (tokens/min)")
	for i, n := range genaiColumns {
		table.set(0, i, n)
	}
	line := 0
	for i := 0; i < len(x.rows); {
		first := &x.rows[i]
		n := i
		for ; n < len(x.rows) && x.rows[n].server == first.server && x.rows[n].scenario == first.scenario; n++ {
			table.row(n+1, x.rows[n].values()...)
		}
		line++
		summary.row(line, first.server, first.scenario)
		if best := genaiSummary(x.rows[i:n]); best != nil {
			summary.row(line, first.server, first.scenario, best.concurrency, 60*best.total)
		}
		i = n
	}
	if err := cmp.Or(summary.err, table.err); err != nil {
		return err
	}
	return replace(x.path, func(w io.Writer) error { return file.Write(w) })
}
