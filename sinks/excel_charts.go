package sinks

import (
	"errors"
	"fmt"
	"slices"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// excelCharts are the charts of a benchmark: x and y are columns of chartNumbers, -1 is
// the load axis.
var excelCharts = []struct {
	title string
	x, y  int
	log   bool // of y
}{
	{"Throughput against latency", 0, 1, true},
	{"Throughput against speed for a user", 0, 4, false},
	{"TTFT p50", -1, 1, true},
	{"TPOT p50", -1, 3, false},
	{"Throughput", -1, 0, false},
	{"Latency p50", -1, 5, true},
}

var chartNumbers = []struct{ path, title string }{
	{"throughput.output_tokens_per_s", "output tokens/s"}, {"metrics.ttft_ms.p50", "TTFT p50 (ms)"}, {"metrics.ttft_ms.p99", "TTFT p99 (ms)"},
	{"metrics.tpot_ms.p50", "TPOT p50 (ms)"}, {"metrics.output_tokens_per_s_per_user.p50", "tokens/s and user"}, {"metrics.latency_ms.p50", "latency p50 (ms)"},
}

// lineColours are those of the html report.
var lineColours = []string{"2F7ED8", "E4572E", "2E9E5B", "9B5DE5", "D9A404", "0FA3B1", "D6336C", "7A8288"}

// Where charts and their numbers stand on the sheet.
const (
	chartRows    = 20 // rows that a chart covers
	chartColumns = 7  // columns
	chartWidth   = 435
	chartHeight  = 380
	dataColumn   = 2*chartColumns + 2 // right of the charts, from 1
	chartScale   = 62                 // percent: the charts of a benchmark are a page
)

// charted reports whether a benchmark of the plan has an axis of load, along which charts are
// drawn. Their sheet must be there before raw data is streamed: afterwards sheets can't be moved.
func charted(p *plan.Plan) bool {
	var cells []result.Entry
	for i := range p.Cells {
		c := &p.Cells[i]
		e := result.Entry{Benchmark: c.Address.Benchmark, Matrix: map[string]string{}}
		for _, a := range c.Address.Axes {
			e.Axes = append(e.Axes, a.Name)
			e.Matrix[a.Name] = a.Value
		}
		cells = append(cells, e)
	}
	return slices.ContainsFunc(p.Benchmarks, func(b plan.Benchmark) bool { axis, _ := seriesOf(cells, b.Name); return axis != "" })
}

// charts is a sheet of native charts, an engine a line, with the numbers that they draw
// beside them. Benchmarks without an axis of load have none.
func (x *excel) charts(r *result.Run) error {
	if !charted(r.Plan) {
		return nil
	}
	row, dataRow := 1, 1
	for _, b := range r.Plan.Benchmarks {
		axis, lines := seriesOf(r.Entries, b.Name)
		if len(lines) == 0 {
			continue
		}
		blocks, next, err := x.chartData(b.Name, axis, lines, dataRow)
		if err != nil {
			return err
		}
		dataRow = next
		if row > 1 { // not "fit to width", with which Excel ends pages where it likes
			if err := x.file.InsertPageBreak(sheetCharts, fmt.Sprintf("A%d", row)); err != nil {
				return err
			}
		}
		for i, c := range excelCharts {
			at, err := excelize.CoordinatesToCellName(1+(i%2)*chartColumns, row+(i/2)*chartRows)
			if err != nil {
				return err
			}
			chart := &excelize.Chart{
				Type:      excelize.Scatter,
				Title:     excelize.ChartTitle{Paragraph: []excelize.RichTextRun{{Text: b.Name + ": " + c.title}}},
				Dimension: excelize.ChartDimension{Width: chartWidth, Height: chartHeight},
				Legend:    excelize.ChartLegend{Position: "bottom"},
				XAxis:     excelize.ChartAxis{Title: excelize.ChartTitle{Paragraph: []excelize.RichTextRun{{Text: chartTitle(c.x, axis)}}}, MajorGridLines: true, Font: excelize.Font{Color: "595959"}},
				YAxis:     excelize.ChartAxis{Title: excelize.ChartTitle{Paragraph: []excelize.RichTextRun{{Text: chartTitle(c.y, axis)}}}, MajorGridLines: true, Font: excelize.Font{Color: "595959"}},
			}
			if c.log {
				chart.YAxis.LogBase = 10
			}
			for n, s := range blocks {
				fill := excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{lineColours[n%len(lineColours)]}}
				line := excelize.LineOptions{Type: excelize.LineSolid, Width: 1.75, Fill: fill}
				chart.Series = append(chart.Series, excelize.ChartSeries{
					Name: s.name, Categories: s.column(c.x + 1), Values: s.column(c.y + 1),
					Fill: fill, // of the line too
					Line: line, Marker: excelize.ChartMarker{Symbol: "circle", Size: 6, Fill: fill, Border: line},
				})
			}
			if err := x.file.AddChart(sheetCharts, at, chart); err != nil {
				return fmt.Errorf("chart %s: %w", c.title, err)
			}
		}
		row += (len(excelCharts) + 1) / 2 * chartRows
	}
	if row == 1 {
		return x.file.SetCellValue(sheetCharts, "A1", "No cell has ended.")
	}
	left, _ := excelize.ColumnNumberToName(dataColumn) // small numbers have names
	right, _ := excelize.ColumnNumberToName(dataColumn + 1 + len(chartNumbers))
	printed, _ := excelize.ColumnNumberToName(dataColumn - 2)
	return errors.Join(
		x.file.SetColWidth(sheetCharts, left, right, 18), x.page(sheetCharts, portrait),
		x.file.SetPageLayout(sheetCharts, &excelize.PageLayoutOptions{AdjustTo: ptr(uint(chartScale))}),
		x.printName("Area", sheetCharts, fmt.Sprintf("$A$1:$%s$%d", printed, row-1)),
	)
}

func chartTitle(column int, axis string) string {
	if column < 0 {
		return axis
	}
	return chartNumbers[column].title
}

// chartBlock is where a line's numbers are: its name's cell, and rows of columns.
type chartBlock struct {
	name        string
	first, last int // rows
}

// column is a range of the block: 0 is the load, then chartNumbers.
func (b chartBlock) column(n int) string {
	name, _ := excelize.ColumnNumberToName(dataColumn + 1 + n) // small numbers have names
	return fmt.Sprintf("%s!$%s$%d:$%s$%d", sheetCharts, name, b.first, name, b.last)
}

// chartData writes the numbers of a benchmark's lines from a row on.
func (x *excel) chartData(benchmark, axis string, lines []series, row int) (blocks []chartBlock, next int, err error) {
	c := &cells{file: x.file, sheet: sheetCharts}
	head := []any{"benchmark." + benchmark, axis}
	for _, n := range chartNumbers {
		head = append(head, n.title)
	}
	set := func(values []any) {
		for i, v := range values {
			c.set(row-1, dataColumn-1+i, v)
		}
		row++
	}
	set(head)
	left, _ := excelize.ColumnNumberToName(dataColumn)
	for _, l := range lines {
		b := chartBlock{name: fmt.Sprintf("%s!$%s$%d", sheetCharts, left, row), first: row}
		for _, p := range l.points {
			line := []any{l.name, p.load}
			for _, n := range chartNumbers {
				line = append(line, p.value(n.path))
			}
			set(line)
		}
		b.last = row - 1
		blocks = append(blocks, b)
	}
	return blocks, row + 1, c.err
}
