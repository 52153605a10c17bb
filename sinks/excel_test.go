package sinks

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
)

// TestExcel opens the workbook with the library's reader.
func TestExcel(t *testing.T) {
	dir, _ := play(t, "excel", nil)
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := strings.Join(f.GetSheetList(), ","); got != "Summary,Charts,chat,Parameters,Raw data" {
		t.Errorf("sheets %s", got)
	}
	summary, err := f.GetRows("Summary")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, r := range summary {
		if len(r) > 2 {
			found[r[0]+" "+r[1]] = r[2:]
		}
	}
	if h := found["benchmark.chat "]; strings.Join(h, ",") != "vllm,sglang" {
		t.Errorf("engines as columns: %v", h)
	}
	if v := found["ttft_ms.p50 users=4"]; len(v) != 2 || v[0] != "41.00" || v[1] != "failed" {
		t.Errorf("ttft_ms.p50 under 4 users: %v", v)
	}
	// What is not ok bears its sign and colour, in the number's format.
	for i, r := range summary {
		if len(r) < 4 || r[0] != "ttft_ms.p50" || r[1] != "users=4" {
			continue
		}
		for cell, want := range map[string]string{"C": `#,##0.00"*"`, "D": `#,##0.00"!"`} {
			id, err := f.GetCellStyle("Summary", fmt.Sprint(cell, i+1))
			if err != nil {
				t.Fatal(err)
			}
			style, err := f.GetStyle(id)
			if err != nil || style.CustomNumFmt == nil || *style.CustomNumFmt != want {
				t.Errorf("%s%d: %+v, %v; want %s", cell, i+1, style, err, want)
			}
		}
	}
	var all []string
	for _, r := range summary {
		all = append(all, strings.Join(r, "|"))
	}
	for _, want := range []string{
		"suspect|benchmark.chat[server=vllm,users=4]#1 steady\n  not_steady|the output-token rate rose",
		"threshold|met|cell, message\ngood|met|benchmark.chat\nbad|NOT met|benchmark.chat: too slow",
	} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("the summary lacks\n%s\nin\n%s", want, strings.Join(all, "\n"))
		}
	}
	raw, err := f.GetRows("Raw data")
	if err != nil || len(raw) != 151 {
		t.Fatalf("%d rows of raw data, want a header and 150; %v", len(raw), err)
	}
	if raw[0][0] != "cell" || raw[1][0] != "benchmark.chat[server=vllm,users=16]#1" {
		t.Errorf("raw data begins %v, %v", raw[0][:2], raw[1][:2])
	}
	bench, err := f.GetRows("chat")
	if err != nil || len(bench) != 5 {
		t.Errorf("%d rows for four cells, %v", len(bench), err)
	}
}

// TestExcelCharts: an engine is a line of the charts, its points along the load, and what
// they draw stands beside them.
func TestExcelCharts(t *testing.T) {
	dir, _ := play(t, "excel", nil)
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := f.GetRows("Charts", excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows[:5] {
		got = append(got, strings.Join(r[dataColumn-1:dataColumn+3], " "))
	}
	// The run has 16 before 4; the last cell has failed and has no numbers.
	want := []string{"benchmark.chat users output tokens/s TTFT p50 (ms)", "vllm 4 436 41", "vllm 16 436 40", "sglang 4", "sglang 16 436 42"}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("row %d of the charts' numbers is %q, want %q", i, got[i], want[i])
		}
	}
	b, err := exec.Command("unzip", "-l", filepath.Join(dir, "report.xlsx")).Output()
	if n := strings.Count(string(b), "xl/charts/chart"); err == nil && n != len(excelCharts) {
		t.Errorf("%d charts, want %d", n, len(excelCharts))
	}
}

// TestExcelPages: how the workbook is printed. Widths are in characters of 7 pixels and 5 around,
// and a page of A4 or Letter has 717 × 940 pixels inside its margins in both orientations.
func TestExcelPages(t *testing.T) {
	run, cells := sample()
	run.Plan.Benchmarks = append(run.Plan.Benchmarks, plan.Benchmark{Name: "late"})
	for _, c := range cells[:3] { // a second benchmark: its charts are a page of their own
		e := c.Entries[0]
		e.Benchmark, e.Address = "late", strings.Replace(e.Address, "chat", "late", 1)
		e.Marks = []result.Mark{{Name: "not_steady", Why: strings.Repeat("the rate rose ", 20)}}
		run.Entries = append(run.Entries, e)
	}
	dir, _ := through(t, "excel", nil, run, cells...)
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := map[string]string{}
	for _, d := range f.GetDefinedName() {
		names[d.Scope+" "+d.Name] = d.RefersTo
	}
	parts := parts(t, filepath.Join(dir, "report.xlsx"))
	for i, want := range []struct{ sheet, setup, area, titles string }{
		{"Summary", `orientation="portrait" pageOrder="overThenDown"`, "", ""},
		{"Charts", `orientation="portrait" pageOrder="overThenDown" scale="62"`, "'Charts'!$A$1:$N$120", ""},
		{"chat", `orientation="landscape" pageOrder="overThenDown" scale="50"`, "'chat'!$A$1:", "'chat'!$A:$A,'chat'!$1:$1"},
		{"late", `orientation="landscape" pageOrder="overThenDown" scale="50"`, "'late'!$A$1:", "'late'!$A:$A,'late'!$1:$1"},
		{"Parameters", `orientation="portrait" pageOrder="overThenDown"`, "", ""},
		{"Raw data", `orientation="landscape" pageOrder="overThenDown" scale="50"`, "", "'Raw data'!$A:$A,'Raw data'!$1:$1"},
	} {
		xml := parts[fmt.Sprintf("xl/worksheets/sheet%d.xml", i+1)]
		if !strings.Contains(xml, want.setup) || !strings.Contains(xml, `left="0.4" right="0.4"`) || !strings.Contains(xml, "sample one&amp;C&amp;A") {
			t.Errorf("%s is printed by %.400s", want.sheet, xml[strings.Index(xml, "</sheetData>"):])
		}
		if fits := strings.Contains(xml, `fitToPage="true"`) && strings.Contains(xml, `fitToHeight="0" fitToWidth="1"`); fits == strings.Contains(want.setup, "scale") {
			t.Errorf("%s: one page wide %v", want.sheet, fits)
		}
		if got := names[want.sheet+" _xlnm.Print_Area"]; !strings.HasPrefix(got, want.area) || (got == "") != (want.area == "") {
			t.Errorf("of %s is printed %q", want.sheet, got)
		}
		if got := names[want.sheet+" _xlnm.Print_Titles"]; got != want.titles {
			t.Errorf("each page of %s has %q", want.sheet, got)
		}
		if filtered := strings.Contains(xml, "<autoFilter"); filtered != (want.titles != "") {
			t.Errorf("%s can be filtered: %v", want.sheet, filtered)
		}
	}
	// The charts of a benchmark are a page: its break, and none is cut by the page or the area.
	if xml := parts["xl/worksheets/sheet2.xml"]; !strings.Contains(xml, `<brk id="60"`) {
		t.Error("the second benchmark's charts do not begin a page")
	}
	if wide, high := 2*chartColumns*64*chartScale/100.0, 3*chartRows*rowHigh*chartScale/100.0; wide > portraitWide || high > portraitHigh {
		t.Errorf("the charts of a benchmark are %g × %g pixels", wide, high)
	}
	for _, to := range regexp.MustCompile(`<xdr:to><xdr:col>(\d+)</xdr:col>.*?<xdr:row>(\d+)</xdr:row>`).FindAllStringSubmatch(parts["xl/drawings/drawing1.xml"], -1) {
		column, _ := strconv.Atoi(to[1])
		row, _ := strconv.Atoi(to[2])
		if column >= 2*chartColumns || column%chartColumns != chartColumns-1 || row%chartRows != chartRows-1 {
			t.Errorf("a chart ends in column %d, row %d", column, row)
		}
	}
	// The sentence of a mark is on the summary's page: merged, and as high as its lines.
	rows, err := f.GetRows("Summary")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(rows, func(r []string) bool { return len(r) > 1 && strings.HasPrefix(r[1], "the rate rose the") }) + 1
	merged, err := f.GetMergeCells("Summary")
	if err != nil || !slices.ContainsFunc(merged, func(m excelize.MergeCell) bool { return m[0] == fmt.Sprintf("B%d:F%d", at, at) }) {
		t.Errorf("row %d is not among the merged %v, %v", at, merged, err)
	}
	room := 0.0
	for _, c := range []string{"B", "C", "D", "E", "F"} {
		w, err := f.GetColWidth("Summary", c)
		if err != nil {
			t.Fatal(err)
		}
		room += w
	}
	if high, err := f.GetRowHeight("Summary", at); err != nil || high/15*room < 280 || high/15*room > 3*280 {
		t.Errorf("280 characters have %g points at %g characters a line, %v", high, room, err)
	}
}

// TestBreakPages: a page ends before the part that would be split, and not where all fits; a part
// of more than a page goes on from where it ends.
func TestBreakPages(t *testing.T) {
	for _, c := range []struct {
		parts []int
		rows  int
		want  string
	}{
		{[]int{3, 6, 9}, 10, ""},
		{[]int{3, 6, 9}, 12, "9"},     // 8 lines, then 4
		{[]int{3, 8, 13}, 20, "8 13"}, // 7, 5, 8
		{[]int{3, 28}, 30, ""},        // 27 lines: 7 on the third page, and 3
		{[]int{3, 28}, 32, "28"},
		{nil, 40, ""},
	} {
		f := excelize.NewFile()
		s := &sheet{file: f, name: "Sheet1", row: c.rows, parts: c.parts}
		if err := s.breakPages(slices.Repeat([]int{1}, c.rows+1), 10); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.xlsx")
		if err := f.SaveAs(path); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range regexp.MustCompile(`<brk id="(\d+)"`).FindAllStringSubmatch(parts(t, path)["xl/worksheets/sheet1.xml"], -1) {
			after, _ := strconv.Atoi(m[1])
			got = append(got, strconv.Itoa(after+1))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("parts %v of %d rows break before %v, want %s", c.parts, c.rows, got, c.want)
		}
	}
}

// parts are the files of a workbook.
func parts(t *testing.T, path string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(b)
	}
	return all
}

// TestChartColours: each engine's line has a colour of its own, that of its points; excelize takes
// it from the series.
func TestChartColours(t *testing.T) {
	dir, _ := play(t, "excel", nil)
	chart := parts(t, filepath.Join(dir, "report.xlsx"))["xl/charts/chart1.xml"]
	for _, colour := range lineColours[:2] {
		if !strings.Contains(chart, `<spPr><a:ln cap="rnd" w="22225"><a:solidFill><a:srgbClr val="`+colour) {
			t.Errorf("no line is %s", colour)
		}
	}
}

// TestExcelFillsSheets: what does not fit on a sheet of raw data goes on the next.
func TestExcelFillsSheets(t *testing.T) {
	defer func(n int) { mostRawRows = n }(mostRawRows)
	mostRawRows = 100
	dir, _ := play(t, "excel", nil) // 150 requests
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first, _ := f.GetRows("Raw data")
	second, err := f.GetRows("Raw data 2")
	if err != nil || len(first) != 100 || len(second) != 52 || first[0][0] != second[0][0] {
		t.Errorf("%d and %d rows, %v", len(first), len(second), err)
	}
}

// TestExcelAgainstSummary: every cell of the benchmark's sheet and of the summary's grid is what
// summary.json has there, empty where that has null.
func TestExcelAgainstSummary(t *testing.T) {
	dir, _ := play(t, "excel", nil)
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	jsonDir, _ := play(t, "json", nil)
	b, err := os.ReadFile(filepath.Join(jsonDir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct{ Cells []map[string]any }
	if err := json.Unmarshal(b, &summary); err != nil {
		t.Fatal(err)
	}
	alike := func(a, b float64) bool { return math.Abs(a-b) <= 1e-13*math.Abs(b) } // 15 digits are shown
	// at is the path that a column is named after, as the file has it.
	at := func(cell map[string]any, column string) (any, bool) {
		for _, group := range []string{"", "metrics.", "throughput."} {
			var v any = cell
			ok := true
			for _, key := range strings.Split(group+column, ".") {
				m, is := v.(map[string]any)
				if !is {
					ok = v == nil && m == nil // below null all is null
					v = nil
					break
				}
				if v, ok = m[key]; !ok {
					break
				}
			}
			if ok {
				return v, true
			}
		}
		return nil, false
	}
	rows, err := f.GetRows("chat", excelize.Options{RawCellValue: true})
	if err != nil || len(rows) != 1+len(summary.Cells) {
		t.Fatalf("%d rows of %d cells, %v", len(rows), len(summary.Cells), err)
	}
	compared := 0
	for i, cell := range summary.Cells {
		for n, column := range rows[0] {
			got := ""
			if n < len(rows[i+1]) {
				got = rows[i+1][n]
			}
			if axis, ok := strings.CutPrefix(column, "axis_"); ok {
				column = "matrix." + axis
			}
			if column == "cell" {
				column = "address"
			}
			want, ok := at(cell, column)
			switch w := want.(type) {
			case []any, map[string]any: // marks are their names
				continue
			case nil:
				if got != "" && ok {
					t.Errorf("%s of %s is %q, and null in the summary", column, rows[i+1][0], got)
				}
			case float64:
				v, err := strconv.ParseFloat(got, 64)
				if err != nil || !alike(v, w) {
					t.Errorf("%s of %s is %q, and %v in the summary", column, rows[i+1][0], got, w)
				}
				compared++
			default:
				if got != fmt.Sprint(w) {
					t.Errorf("%s of %s is %q, and %v in the summary", column, rows[i+1][0], got, w)
				}
				compared++
			}
		}
	}
	if compared < 400 {
		t.Errorf("only %d values were compared", compared)
	}
	// The grid: a row a number and load, a column an engine.
	grid, err := f.GetRows("Summary", excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	compared = 0
	for _, row := range grid {
		if len(row) != 4 || !strings.HasPrefix(row[1], "users=") {
			continue
		}
		for k, engine := range []string{"vllm", "sglang"} {
			for _, cell := range summary.Cells {
				if m := cell["matrix"].(map[string]any); m["server"] != engine || "users="+m["users"].(string) != row[1] {
					continue
				}
				if want, ok := at(cell, row[0]); ok && want != nil && row[0] != "verdict" {
					if v, err := strconv.ParseFloat(row[2+k], 64); err != nil || !alike(v, want.(float64)) {
						t.Errorf("%s %s of %s is %q, and %v in the summary", row[0], row[1], engine, row[2+k], want)
					}
					compared++
				}
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d values of the grid were compared", compared)
	}
}

// TestExcelLarge: a workbook whose raw data does not fit into memory's share of a sheet (16 MB) has
// its charts and every row.
func TestExcelLarge(t *testing.T) {
	run, cells := sample()
	few := cells[0].Records
	for len(cells[0].Records) < 16_000 {
		cells[0].Records = append(cells[0].Records, few...)
	}
	dir, _ := through(t, "excel", nil, run, cells...)
	f, err := excelize.OpenFile(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := strings.Join(f.GetSheetList(), ","); got != "Summary,Charts,chat,Parameters,Raw data" {
		t.Errorf("sheets %s", got)
	}
	rows, err := f.Rows("Raw data")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if want := 1 + len(cells[0].Records) + 100; n != want {
		t.Errorf("%d rows, want %d", n, want)
	}
}
