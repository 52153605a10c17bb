package sinks

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// Sheets of the workbook beside one a benchmark.
const (
	sheetSummary = "Summary"
	sheetCharts  = "Charts"
	sheetParams  = "Parameters"
	sheetRaw     = "Raw data"
)

// excel is a workbook. Raw data is streamed into it as cells end, so that memory does
// not grow with the run; the other sheets are made at the end.
type excel struct {
	path    string
	title   string // of every page
	plan    *plan.Plan
	axes    []string
	columns []table.Column // of raw data
	file    *excelize.File
	raw     *excelize.StreamWriter
	sheets  int // of raw data
	rows    int // of the last of them, header included
	styles  struct{ head, engine, text, number, change, p, suspect, invalid, note, extent, best int }
}

func init() {
	register(schema.Kind{
		Name: "excel", Doc: "A workbook: summary with engines as columns, charts, a sheet a benchmark, parameters, raw data.",
		Attrs: append([]schema.Attr{pathAttr("report.xlsx")}, compatAttrs([]string{compatSeed, compatGenAI}, "warmup_percentages")...), Check: checkCompat,
	}, newExcel)
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
	x.title = r.Scenario + " " + r.ID
	x.plan, x.axes, x.columns, x.file = r.Plan, axes(r.Plan), requestColumns(r.Plan), excelize.NewFile()
	if err := x.file.SetSheetName("Sheet1", sheetSummary); err != nil {
		return err
	}
	names := append(x.benchSheets(), sheetParams)
	if charted(r.Plan) {
		names = slices.Insert(names, 0, sheetCharts)
	}
	for _, name := range names {
		if _, err := x.file.NewSheet(name); err != nil {
			return fmt.Errorf("sheet %q: %w", name, err)
		}
	}
	font, err := x.file.GetDefaultFont()
	if err != nil {
		return err
	}
	wrap, right := &excelize.Alignment{WrapText: true, Vertical: "top"}, &excelize.Alignment{Horizontal: "right"}
	grey := &excelize.Font{Italic: true, Color: "808080", Family: font, Size: 11}
	bold, blue := &excelize.Font{Bold: true, Family: font, Size: 11}, excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"E7EEF7"}}
	for into, style := range map[*int]*excelize.Style{
		&x.styles.head:   {Font: bold, Alignment: wrap, Fill: blue},
		&x.styles.engine: {Font: bold, Alignment: right, Fill: blue},
		&x.styles.text:   {Alignment: wrap},
		&x.styles.number: {CustomNumFmt: ptr("#,##0.00"), Alignment: right},
		&x.styles.change: {CustomNumFmt: ptr("+0.0%;-0.0%;0.0%")},
		&x.styles.p:      {CustomNumFmt: ptr("0.0000")},
		// The sign stands in the format, so that the cell stays a number.
		&x.styles.suspect: {CustomNumFmt: ptr(`#,##0.00"*"`), Alignment: right, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"FFF2CC"}}},
		&x.styles.invalid: {CustomNumFmt: ptr(`#,##0.00"!"`), Alignment: right, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"FFC7CE"}}},
		&x.styles.note:    {Font: grey, Alignment: wrap},
		&x.styles.extent:  {Font: grey, Alignment: right},
	} {
		if *into, err = x.file.NewStyle(style); err != nil {
			return err
		}
	}
	best := &excelize.Style{Font: &excelize.Font{Bold: true, Color: "006100"}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"C6EFCE"}}}
	if x.styles.best, err = x.file.NewConditionalStyle(best); err != nil {
		return err
	}
	return x.nextRaw()
}

// nextRaw begins a sheet of raw data: a sheet has no more than 1 048 576 rows.
func (x *excel) nextRaw() error {
	if x.raw != nil {
		if err := x.endRaw(); err != nil {
			return err
		}
	}
	x.sheets++
	x.rows = 0
	name := x.rawSheet()
	if _, err := x.file.NewSheet(name); err != nil {
		return fmt.Errorf("sheet %q: %w", name, err)
	}
	// Before the sheet is streamed: nothing of it can be set afterwards.
	err := errors.Join(x.page(name, landscape), x.file.SetPageLayout(name, &excelize.PageLayoutOptions{AdjustTo: ptr(uint(rawScale))}), x.printName("Titles", name, "$A:$A", "$1:$1"))
	if err != nil {
		return err
	}
	if x.raw, err = x.file.NewStreamWriter(name); err != nil {
		return err
	}
	if err := x.raw.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	var head []any
	known := map[string]int{"cell": 48, "request_id": 28} // the rows are not there yet
	for i, c := range x.columns {
		if err := x.raw.SetColWidth(i+1, i+1, headWidth(c.Name, known[c.Name])); err != nil {
			return err
		}
		head = append(head, excelize.Cell{StyleID: x.styles.head, Value: c.Name})
	}
	return x.rawRow(head)
}

// rawSheet is the name of the last sheet of raw data.
func (x *excel) rawSheet() string {
	if x.sheets == 1 {
		return sheetRaw
	}
	return fmt.Sprintf("%s %d", sheetRaw, x.sheets)
}

// endRaw finishes the last sheet of raw data; people can filter it.
func (x *excel) endRaw() error {
	if err := x.filter(x.rawSheet(), len(x.columns), x.rows); err != nil {
		return err
	}
	return x.raw.Flush()
}

// headWidth is the width of a column whose name has the button of a filter, and whose longest text
// has so many characters.
func headWidth(name string, text int) float64 {
	return float64(max(10, len(name)+4, min(60, text+2)))
}

// filter gives the header of a table its filters.
func (x *excel) filter(sheet string, columns, rows int) error {
	last, err := excelize.CoordinatesToCellName(columns, max(2, rows))
	if err != nil {
		return err
	}
	return x.file.AutoFilter(sheet, "A1:"+last, nil)
}

func ptr[T any](v T) *T { return &v }

// mostRawRows is how many rows a sheet of raw data may have, its header among them.
var mostRawRows = excelize.TotalRows

func (x *excel) rawRow(row []any) error {
	if x.rows == mostRawRows {
		if err := x.nextRaw(); err != nil {
			return err
		}
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
		if len(name) > 31 || slices.Contains(names, name) || x.reserved(name) {
			name = fmt.Sprintf("%.26s %d", b.Name, i+1)
		}
		names = append(names, name)
	}
	return names
}

// reserved reports whether a sheet of another kind may have the name.
func (x *excel) reserved(name string) bool {
	return slices.ContainsFunc([]string{sheetSummary, sheetCharts, sheetParams}, func(s string) bool { return strings.EqualFold(name, s) }) ||
		strings.HasPrefix(strings.ToLower(name), strings.ToLower(sheetRaw))
}

func (x *excel) Cell(_ context.Context, c *result.Cell) error {
	for i := range c.Records {
		if err := x.rawRow(untyped(x.columns, requestRow(x.axes, c.Plan, &c.Records[i]))); err != nil {
			return err
		}
	}
	return nil
}

func (x *excel) End(_ context.Context, r *result.Run) error {
	defer x.file.Close()
	if err := x.endRaw(); err != nil {
		return err
	}
	for _, write := range []func(*result.Run) error{x.summary, x.charts, x.parameters} {
		if err := write(r); err != nil {
			return err
		}
	}
	for i, name := range x.benchSheets() {
		if err := x.bench(name, x.plan.Benchmarks[i].Name, r.Entries); err != nil {
			return err
		}
	}
	return replace(x.path, func(w io.Writer) error {
		// excelize puts the whole archive together in memory unless it is given one that it
		// can't: a million rows would take 600 MB.
		x.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return zip.NewWriter(w) })
		return x.file.Write(io.Discard)
	})
}

// bench is a line per cell and measured phase with every number. What is printed ends before the
// percentiles: all would be dozens of pages, and those that people read stand in the summary.
func (x *excel) bench(name, benchmark string, entries []result.Entry) error {
	s := &sheet{file: x.file, name: name}
	var head []any
	columns := entryColumns(x.plan)
	printed := len(columns)
	for i, c := range columns {
		head = append(head, c.Name)
		if strings.HasSuffix(c.Name, ".count") { // each metric's first
			printed = min(printed, i)
		}
	}
	s.add(x.styles.head, head...)
	for i := range entries {
		if entries[i].Benchmark != benchmark {
			continue
		}
		s.add(0, untyped(columns, entryRow(x.plan, &entries[i]))...)
	}
	if s.err == nil {
		s.err = x.file.SetPanes(name, &excelize.Panes{Freeze: true, XSplit: 1, YSplit: 1, TopLeftCell: "B2", ActivePane: "bottomRight"})
	}
	for i, c := range columns {
		at, _ := excelize.ColumnNumberToName(i + 1) // small numbers have names
		s.err = errors.Join(s.err, x.file.SetColWidth(name, at, at, headWidth(c.Name, s.widths[i])))
	}
	if s.err == nil {
		right, _ := excelize.ColumnNumberToName(printed)
		s.err = errors.Join(x.filter(name, len(head), s.row), x.page(name, landscape),
			x.file.SetPageLayout(name, &excelize.PageLayoutOptions{AdjustTo: ptr(uint(rawScale))}), x.printName("Titles", name, "$A:$A", "$1:$1"),
			x.printName("Area", name, fmt.Sprintf("$A$1:$%s$%d", right, s.row)))
	}
	return s.err
}

// parameters is how the run was made: variables, servers, datasets, phases and this machine.
func (x *excel) parameters(r *result.Run) error {
	s := &sheet{file: x.file, name: sheetParams, widths: []int{0, 90}}
	s.addWide(x.styles.head, r.ID, "run")
	s.addWide(x.styles.text, r.Version, "sparkrun")
	s.addWide(x.styles.text, r.Started.Format(time.RFC3339), "started")
	s.addWide(x.styles.text, r.Ended.Format(time.RFC3339), "ended")
	s.addWide(x.styles.text, fmt.Sprintf("%s, %s/%s, %d cores, %s", r.Host, r.OS, r.Arch, r.Cores, r.CPU), "load from")
	section := func(title string, rows [][2]string) {
		if len(rows) == 0 {
			return
		}
		s.part()
		s.add(0)
		s.add(x.styles.head, title, "")
		for _, row := range rows {
			s.addWide(x.styles.text, row[1], row[0])
		}
	}
	var variables, servers, datasets, benchmarks [][2]string
	for _, v := range r.Plan.Variables {
		variables = append(variables, [2]string{"var." + v.Name, fmt.Sprintf("%s (%s)", v.Value, v.Source)})
	}
	for i := range r.Plan.Servers {
		servers = append(servers, [2]string{r.Plan.Servers[i].Address, described(&r.Plan.Servers[i])})
	}
	for _, d := range r.Plan.Datasets {
		b, err := json.Marshal(d.Values)
		if err != nil {
			return err
		}
		datasets = append(datasets, [2]string{d.Address, d.Type + " " + string(b)})
	}
	for _, b := range r.Plan.Benchmarks {
		benchmarks = append(benchmarks, [2]string{"benchmark." + b.Name, fmt.Sprintf("order %s, seed %d", b.Order, b.Seed)})
	}
	section("variables", variables)
	section("servers", servers)
	section("servers as they were found", found(r))
	section("datasets", datasets)
	section("benchmarks", benchmarks)
	orientation, _, err := s.fit(2, 90)
	return errors.Join(err, x.page(sheetParams, orientation), x.onePageWide(sheetParams))
}
