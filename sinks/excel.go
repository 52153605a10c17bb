package sinks

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// Sheets of the workbook beside one a benchmark.
const (
	sheetSummary = "Summary"
	sheetRaw     = "Raw data"
)

// excel is a workbook. Raw data is streamed into it as cells end, so that memory does
// not grow with the run; the other sheets are made at the end.
type excel struct {
	path   string
	plan   *plan.Plan
	axes   []string
	file   *excelize.File
	raw    *excelize.StreamWriter
	rows   int // of raw data, header included
	lost   int // requests beyond a sheet's rows
	styles struct{ head, number, note int }
}

func newExcel(s plan.Sink, dir string, _ Env) (Sink, error) {
	switch s.Values.String("compat") {
	case compatSeed: // the files' names are that tool's own
		shares, err := warmups(s)
		return &seedExcel{dir: filepath.Dir(pathOf(s, dir)), warmups: shares}, err
	case compatGenAI:
		return &genaiExcel{path: pathOf(s, dir)}, nil
	}
	return &excel{path: pathOf(s, dir)}, nil
}

func (x *excel) Path() string { return x.path }

func (x *excel) Begin(_ context.Context, r *result.Run) (err error) {
	if err := writable(x.path); err != nil {
		return err
	}
	x.plan, x.axes, x.file = r.Plan, axes(r.Plan), excelize.NewFile()
	if err := x.file.SetSheetName("Sheet1", sheetSummary); err != nil {
		return err
	}
	for _, name := range append(x.benchSheets(), sheetRaw) {
		if _, err := x.file.NewSheet(name); err != nil {
			return fmt.Errorf("sheet %q: %w", name, err)
		}
	}
	for into, style := range map[*int]*excelize.Style{
		&x.styles.head:   {Font: &excelize.Font{Bold: true}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"E7EEF7"}}},
		&x.styles.number: {CustomNumFmt: ptr("#,##0.00")},
		&x.styles.note:   {Font: &excelize.Font{Italic: true, Color: "808080"}},
	} {
		if *into, err = x.file.NewStyle(style); err != nil {
			return err
		}
	}
	if x.raw, err = x.file.NewStreamWriter(sheetRaw); err != nil {
		return err
	}
	if err := x.raw.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	var head []any
	for _, n := range requestHeader(r.Plan) {
		head = append(head, excelize.Cell{StyleID: x.styles.head, Value: n})
	}
	return x.rawRow(head)
}

func ptr[T any](v T) *T { return &v }

func (x *excel) rawRow(row []any) error {
	if x.rows == excelize.TotalRows {
		x.lost++
		return nil
	}
	x.rows++
	at, err := excelize.CoordinatesToCellName(1, x.rows)
	if err != nil {
		return err
	}
	return x.raw.SetRow(at, row)
}

// benchSheets are the sheets' names, by benchmark: at most 31 characters, none twice.
func (x *excel) benchSheets() []string {
	var names []string
	for i, b := range x.plan.Benchmarks {
		name := b.Name
		if len(name) > 31 || slices.Contains(names, name) || strings.EqualFold(name, sheetSummary) || strings.EqualFold(name, sheetRaw) {
			name = fmt.Sprintf("%.26s %d", b.Name, i+1)
		}
		names = append(names, name)
	}
	return names
}

func (x *excel) Cell(_ context.Context, c *result.Cell) error {
	for i := range c.Records {
		if err := x.rawRow(requestRow(x.axes, c.Plan, &c.Records[i])); err != nil {
			return err
		}
	}
	return nil
}

func (x *excel) End(_ context.Context, r *result.Run) error {
	defer x.file.Close()
	if err := x.raw.Flush(); err != nil {
		return err
	}
	if err := x.summary(r); err != nil {
		return err
	}
	for i, name := range x.benchSheets() {
		if err := x.bench(name, x.plan.Benchmarks[i].Name, r.Entries); err != nil {
			return err
		}
	}
	return replace(x.path, func(w io.Writer) error { return x.file.Write(w) })
}

// sheet writes rows one under the other and remembers the first error.
type sheet struct {
	file *excelize.File
	name string
	row  int
	err  error
}

func (s *sheet) add(style int, values ...any) {
	s.row++
	if s.err != nil || len(values) == 0 {
		return
	}
	at, err := excelize.CoordinatesToCellName(1, s.row)
	if err == nil {
		err = s.file.SetSheetRow(s.name, at, &values)
	}
	if err == nil && style != 0 {
		end, _ := excelize.CoordinatesToCellName(len(values), s.row)
		err = s.file.SetCellStyle(s.name, at, end, style)
	}
	s.err = err
}

// summaryNumbers are the rows of the summary's tables.
var summaryNumbers = []string{
	"throughput.output_tokens_per_s", "throughput.total_tokens_per_s", "throughput.requests_per_s",
	"metrics.ttft_ms.p50", "metrics.ttft_ms.p99", "metrics.tpot_ms.p50", "metrics.tpot_ms.p99", "metrics.itl_ms.p99", "metrics.latency_ms.p50", "metrics.latency_ms.p99",
	"requests.success_rate",
}

// summary is engines as columns: a table a number, medians over repeats.
func (x *excel) summary(r *result.Run) error {
	s := &sheet{file: x.file, name: sheetSummary}
	s.add(x.styles.head, "sparkrun", r.Scenario, r.ID)
	if r.Simulated {
		s.add(x.styles.note, "Simulated: not a measurement of a real engine.")
	}
	if r.Interrupted {
		s.add(x.styles.note, "Interrupted: cells are missing or partial.")
	}
	s.add(0, "version", r.Version)
	s.add(0, "started", r.Started.Format(time.RFC3339))
	s.add(0, "host", fmt.Sprintf("%s, %s/%s, %d cores, %s", r.Host, r.OS, r.Arch, r.Cores, r.CPU))
	if x.lost > 0 {
		s.add(x.styles.note, fmt.Sprintf("Raw data lacks %d requests: a sheet has no more rows. They are in rows/*.jsonl.", x.lost))
	}
	for _, g := range grids(r.Entries) {
		s.add(0)
		head := []any{"benchmark." + g.benchmark, ""}
		for _, c := range g.columns {
			head = append(head, c)
		}
		s.add(x.styles.head, head...)
		for _, path := range slices.Concat(summaryNumbers, x.goodput()) {
			name := strings.TrimPrefix(strings.TrimPrefix(path, "metrics."), "throughput.")
			for _, row := range g.rows {
				line := []any{name, row}
				for _, c := range g.columns {
					if v, ok := g.value(row, c, path); ok {
						line = append(line, v.Median)
					} else {
						line = append(line, string(g.verdict(row, c)))
					}
				}
				s.add(x.styles.number, line...)
				if extents, several := g.extents(row, path); several {
					s.add(x.styles.note, append([]any{name + " of the repeats", row}, extents...)...)
				}
			}
		}
		for _, row := range g.rows {
			line := []any{"verdict", row}
			for _, c := range g.columns {
				line = append(line, string(g.verdict(row, c)))
			}
			s.add(0, line...)
		}
	}
	x.comparisons(s, r.Entries)
	x.doubts(s, r.Entries)
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Search == nil {
			continue
		}
		s.add(0)
		s.add(x.styles.head, searchFound(e))
		var head []any
		for _, c := range searchColumns(e.Search) {
			head = append(head, c)
		}
		s.add(x.styles.head, append(head, "pareto")...)
		for _, step := range byValue(e.Search) {
			s.add(x.styles.number, append(searchLine(&step), step.Pareto)...)
		}
	}
	if len(r.Thresholds) > 0 {
		s.add(0)
		s.add(x.styles.head, "threshold", "cell", "met", "message")
		for _, t := range r.Thresholds {
			s.add(0, t.Name, t.Address, t.Pass, t.Message)
		}
	}
	if s.err == nil {
		s.err = x.file.SetColWidth(sheetSummary, "A", "B", 30)
	}
	if s.err == nil {
		s.err = x.file.SetColWidth(sheetSummary, "C", "Z", 16)
	}
	return s.err
}

// comparisons is a line for each pair of servers and number that was compared.
func (x *excel) comparisons(s *sheet, entries []result.Entry) {
	pairs := result.CompareServers(entries)
	if len(pairs) == 0 {
		return
	}
	s.add(0)
	s.add(x.styles.head, "compared", "cell", "base", "other", "base median", "other median", "change", "p", "different", "note")
	for _, c := range pairs {
		for _, path := range append([]string{result.Deciding}, result.Compared...) {
			d, ok := c.Numbers[path]
			if !ok {
				continue
			}
			line := []any{path, cellOf(&c), c.Base, c.Other, number(d.Base), number(d.Other), number(d.Change), number(d.P), nil, c.Note}
			if d.Different != nil {
				line[8] = *d.Different
			}
			s.add(0, line...)
		}
	}
}

// doubts is a line for each mark of a cell that is not ok, with its sentence.
func (x *excel) doubts(s *sheet, entries []result.Entry) {
	if !slices.ContainsFunc(entries, func(e result.Entry) bool { return e.Verdict != result.OK }) {
		return
	}
	s.add(0)
	s.add(x.styles.head, "not ok", "cell", "phase", "mark", "why")
	for i := range entries {
		e := &entries[i]
		if e.Verdict == result.OK {
			continue
		}
		if e.Cause != "" || len(e.Marks) == 0 {
			s.add(0, string(e.Verdict), e.Address, e.Phase, "", e.Cause)
		}
		for _, m := range e.Marks {
			s.add(0, string(e.Verdict), e.Address, e.Phase, m.Name, m.Why)
		}
	}
}

func (x *excel) goodput() []string {
	var out []string
	for _, p := range paths(x.plan) {
		if strings.HasPrefix(p, "goodput.") && !strings.HasPrefix(p, "goodput.all.") {
			out = append(out, p)
		}
	}
	return out
}

// bench is a line per cell and measured phase with every number.
func (x *excel) bench(name, benchmark string, entries []result.Entry) error {
	s := &sheet{file: x.file, name: name}
	var head []any
	for _, c := range flat(x.plan, &result.Entry{}) {
		head = append(head, c.name)
	}
	s.add(x.styles.head, head...)
	for i := range entries {
		if entries[i].Benchmark != benchmark {
			continue
		}
		var row []any
		for _, c := range flat(x.plan, &entries[i]) {
			row = append(row, c.value)
		}
		s.add(0, row...)
	}
	if s.err == nil {
		s.err = x.file.SetPanes(name, &excelize.Panes{Freeze: true, XSplit: 1, YSplit: 1, TopLeftCell: "B2", ActivePane: "bottomRight"})
	}
	if s.err == nil {
		s.err = x.file.SetColWidth(name, "A", "A", 48)
	}
	return s.err
}
