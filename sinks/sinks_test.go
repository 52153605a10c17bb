package sinks

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a run of two engines under 4 and 16 users; the last cell fails.
func sample() (*result.Run, []*result.Cell) {
	p := &plan.Plan{Scenario: "sample", Benchmarks: []plan.Benchmark{{Name: "chat"}}}
	run := &result.Run{ID: "one", Scenario: "sample", Version: "test", Plan: p, Simulated: true}
	for _, server := range []string{"vllm", "sglang"} {
		for _, users := range []int{16, 4} {
			p.Cells = append(p.Cells, plan.Cell{
				Address: addr.Cell{Benchmark: "chat", Repeat: 1, Axes: []addr.Axis{{Name: "server", Value: server}, {Name: "users", Value: fmt.Sprint(users)}}},
				Server:  "server." + server, Dataset: "dataset.d", Phases: []plan.Phase{{Name: "steady", Measure: true}},
			})
		}
	}
	var cells []*result.Cell
	for i := range p.Cells {
		c := &p.Cells[i]
		c.Name, c.Canonical = c.Address.String(), c.Address.Canonical()
		var records []record.Record
		for n := range int64(50) {
			at := (n + 1) * 1e7
			records = append(records, record.Record{
				ID: fmt.Sprintf("r%d", n), Scheduled: at, Sent: at, FirstEvent: at + 4e7, FirstToken: at + 4e7 + int64(i)*1e6, FirstOut: at + 4e7, LastToken: at + 8e7, StreamEnd: at + 8e7,
				InputTokens: 100, OutputTokens: 5, FirstEventTokens: 1, DatasetRow: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1, CachedTokens: -1, ReasoningTokens: -1,
				Events: []record.Event{{At: at + 4e7}, {At: at + 6e7}, {At: at + 8e7}}, FinishReason: "length", TokenSource: record.TokensUsage,
			})
		}
		s := &plan.Server{Framework: "sim", Address: c.Server}
		cell := &result.Cell{Plan: c, Server: s, Records: records, Outcome: load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: 1e7, End: 51e7}}}}
		cell.Entries = result.Summarise(c, s, records, cell.Outcome)
		if i == 3 {
			cell.Records, cell.Entries = nil, result.FailedEntries(c, s, "LAUNCH_EXITED: its program ended\nmore")
		}
		if i == 1 {
			cell.Entries[0].Add("not_steady", "the output-token rate rose")
		}
		run.Entries = append(run.Entries, cell.Entries...)
		cells = append(cells, cell)
	}
	no := 0.5
	run.Thresholds = []result.ThresholdResult{
		{Name: "good", Address: "benchmark.chat", Pass: true},
		{Name: "bad", Address: "benchmark.chat", Message: "too slow", Values: map[string]*float64{"ttft_ms.p50": &no}},
	}
	return run, cells
}

// repeated is a run of two engines under 4 users and one under 16, five repeats each, in
// one start of vllm and five of sglang.
func repeated() *result.Run {
	p := &plan.Plan{Scenario: "repeated", Benchmarks: []plan.Benchmark{{Name: "chat"}}}
	run := &result.Run{ID: "two", Scenario: "repeated", Plan: p}
	for _, c := range []struct {
		server, users string
		rate          float64
	}{{"vllm", "4", 100}, {"sglang", "4", 110}, {"vllm", "16", 300}} {
		for i := range 6 {
			rate := c.rate * (1 + 0.002*float64((i*5)%6))
			ttft, tpot, whole := 5000/rate, 1000/rate, 1.0
			session := "server." + c.server
			if c.server == "sglang" {
				session += fmt.Sprintf("~%d", i+1)
			}
			run.Entries = append(run.Entries, result.Entry{
				Address: fmt.Sprintf("benchmark.chat[server=%s,users=%s]#%d", c.server, c.users, i+1), Benchmark: "chat", Server: "server." + c.server,
				Axes: []string{"server", "users"}, Matrix: map[string]string{"server": c.server, "users": c.users}, Repeat: i + 1, Session: session, Phase: "steady", Verdict: result.OK,
				Requests: result.Requests{Scheduled: 50, OK: 50, SuccessRate: &whole}, Throughput: map[string]*float64{"output_tokens_per_s": &rate},
				Metrics: map[string]*result.Stats{"ttft_ms": {P50: &ttft}, "tpot_ms": {P50: &tpot}},
			})
		}
	}
	return run
}

// TestRepeats: medians with their range, and which servers differ.
func TestRepeats(t *testing.T) {
	run := repeated()
	var out bytes.Buffer
	c := &console{w: &out}
	if err := c.End(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	golden(t, "repeats.golden", out.String())
	dir := t.TempDir()
	x := &excel{path: filepath.Join(dir, "r.xlsx")}
	if err := x.Begin(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	if err := x.End(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenFile(x.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := f.GetRows("Summary")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, r := range rows {
		text.WriteString(strings.Join(r, "|") + "\n")
	}
	for _, want := range []string{
		"output_tokens_per_s|users=4|100.50|110.55\n",
		"output_tokens_per_s of the repeats|users=4|100–101, median within 100–101 (95 %)|110–111, median within 110–111 (95 %)\n",
		"output_tokens_per_s|users=4, steady|server.vllm|server.sglang|100.5|110.55|0.09",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no line %q in\n%s", want, text.String())
		}
	}
}

// play sends the sample through a sink and returns its folder and standard output.
func play(t *testing.T, kind string, values schema.Values) (dir, stdout string) {
	t.Helper()
	dir = t.TempDir()
	var out bytes.Buffer
	run, cells := sample()
	for _, k := range Kinds() {
		if k.Name != kind {
			continue
		}
		for _, a := range k.Attrs {
			if _, set := values[a.Name]; !set {
				if values == nil {
					values = schema.Values{}
				}
				values[a.Name] = a.Default
			}
		}
	}
	s, err := New(plan.Sink{Address: "sink." + kind, Type: kind, Values: values}, dir, Env{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := s.Begin(ctx, run); err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if err := s.Cell(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.End(ctx, run); err != nil {
		t.Fatal(err)
	}
	return dir, out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestConsole(t *testing.T) {
	_, out := play(t, "console", nil)
	golden(t, "console.golden", out)
}

// TestForCI: what CI systems read, with texts that would break it.
func TestForCI(t *testing.T) {
	for kind, file := range map[string]string{"junit": "junit.xml", "markdown": "report.md"} {
		dir, _ := play(t, kind, nil)
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, kind+".golden", string(b))
	}
	run := repeated()
	run.Entries[0].Verdict, run.Entries[0].Cause = result.Invalid, "a <b> & \x00 ]]> | `c` *d*\nsecond line"
	run.Entries[1].Verdict = result.Skipped
	dir := t.TempDir()
	for _, s := range []Sink{&junit{filepath.Join(dir, "j.xml")}, &markdown{filepath.Join(dir, "m.md")}} {
		if err := s.End(context.Background(), run); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "j.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc junitSuites
	if err := xml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	first := doc.Suites[0].Cases[0]
	if doc.Tests != 18 || doc.Failures != 1 || doc.Skipped != 1 || first.Failure == nil || first.Failure.Message != "a <b> & \ufffd ]]> | `c` *d*" || !strings.Contains(first.Failure.Text, "second line") {
		t.Errorf("%+v, %+v", doc, first.Failure)
	}
	b, err = os.ReadFile(filepath.Join(dir, "m.md"))
	if err != nil || !strings.Contains(string(b), "a &lt;b&gt; & \x00 ]]&gt; \\| \\`c\\` \\*d\\*\n") {
		t.Errorf("%v\n%s", err, b)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, "\\|", ""), "|") != 5 {
			t.Errorf("a line of a table of four columns: %s", line)
		}
	}
}

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
	if m := found["suspect benchmark.chat[server=vllm,users=4]#1"]; strings.Join(m, ",") != "steady,not_steady,the output-token rate rose" {
		t.Errorf("marks with their sentence: %v", m)
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

func TestLines(t *testing.T) {
	dir, _ := play(t, "csv", schema.Values{"rows": schema.Plain("requests")})
	f, err := os.Open(filepath.Join(dir, "results.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 151 || len(rows[0]) != len(rows[150]) {
		t.Fatalf("%d lines, %v", len(rows), err)
	}
	dir, _ = play(t, "jsonl", nil)
	b, err := os.ReadFile(filepath.Join(dir, "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	var row map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &row); err != nil || len(lines) != 4 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if row["axis_users"] != "4" || row["verdict"] != "suspect" || row["marks"] != "not_steady" || row["ttft_ms.p50"] != 41.0 || row["ttft_ms.p999"] != nil {
		t.Errorf("%s", lines[1])
	}
	dir, _ = play(t, "json", nil)
	b, err = os.ReadFile(filepath.Join(dir, "results.json"))
	var all result.Summary
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil || len(all.Cells) != 4 || all.Schema != 1 {
		t.Errorf("%d cells, %v", len(all.Cells), err)
	}
}

func TestNaturalOrder(t *testing.T) {
	for _, c := range [][2]string{{"users=4", "users=16"}, {"a2b10", "a2b11"}, {"a", "b"}, {"a1", "a1b"}} {
		if !natural(c[0], c[1]) || natural(c[1], c[0]) {
			t.Errorf("%q must come before %q", c[0], c[1])
		}
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

// TestEverySink: each declares itself with a default for every attribute or words for
// what its absence means, leaves the file that it names, also of a run without a cell, and
// refuses a folder that can't be made before anything runs.
func TestEverySink(t *testing.T) {
	for _, k := range Kinds() {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Name)
		}
		for _, a := range k.Attrs {
			if a.Doc == "" || (a.Default == nil && a.DefaultDoc == "" && !a.Required) {
				t.Errorf("%s.%s lacks a doc or a default", k.Name, a.Name)
			}
		}
		for name, cells := range map[string]int{"a run": 4, "a run without a cell": 0} {
			run, all := sample()
			run.Entries = run.Entries[:cells]
			run.Plan.Cells = run.Plan.Cells[:max(1, cells)]
			values := schema.Values{}
			for _, a := range k.Attrs {
				if a.Default != nil {
					values[a.Name] = a.Default
				}
			}
			dir := t.TempDir()
			s, err := New(plan.Sink{Address: "sink." + k.Name, Type: k.Name, Values: values}, dir, Env{Stdout: new(bytes.Buffer)})
			if err == nil {
				err = s.Begin(t.Context(), run)
			}
			for _, c := range all[:cells] {
				if err == nil {
					err = s.Cell(t.Context(), c)
				}
			}
			if err == nil {
				err = s.End(t.Context(), run)
			}
			if err != nil {
				t.Errorf("%s of %s: %v", k.Name, name, err)
				continue
			}
			if path := s.Path(); path != "" {
				if found, _ := filepath.Glob(path); len(found) == 0 {
					t.Errorf("%s of %s has not left %s", k.Name, name, filepath.Base(path))
				}
			}
		}
		if k.Name == "console" {
			continue // it writes no file
		}
		run, _ := sample()
		s, err := New(plan.Sink{Type: k.Name, Values: schema.Values{"path": schema.Plain("/dev/null/x/file")}}, t.TempDir(), Env{})
		if err == nil {
			err = s.Begin(t.Context(), run)
		}
		if err == nil {
			t.Errorf("%s begins in a folder that can't be made", k.Name)
		}
	}
}

// TestNarrowConsole: on a narrow terminal no line of what is not ok is broken inside a word, or
// wider than the terminal.
func TestNarrowConsole(t *testing.T) {
	run, _ := sample()
	run.Entries[0].Add("client_limited", "this client sent requests up to 13.5 ms late (p99), more than its numbers can bear: give it more CPU, or less load")
	run.Entries[0].Errors = []result.ErrorCount{{Status: "timeout", Count: 3, Message: strings.Repeat("no answer came in time ", 6)}}
	wide, narrow := new(bytes.Buffer), new(bytes.Buffer)
	for width, out := range map[int]*bytes.Buffer{0: wide, 80: narrow} {
		if err := (&console{w: out, width: width}).End(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	if n := widest(narrow.String()); n > 80 {
		t.Errorf("a line of %d characters:\n%s", n, narrow)
	}
	if got, want := strings.Fields(narrow.String()), strings.Fields(wide.String()); len(got) < len(want)*9/10 {
		t.Errorf("%d words of %d are left", len(got), len(want))
	}
	for _, want := range []string{"\nsuspect  benchmark.chat[server=vllm,users=16]#1\n    client_limited: this client sent", "\n3 × timeout  benchmark.chat[server=vllm,users=16]#1\n    no answer"} {
		if !strings.Contains(narrow.String(), want) {
			t.Errorf("no %q in\n%s", want, narrow)
		}
	}
}

// TestChartColours: each engine's line has a colour of its own, that of its points; excelize takes
// it from the series.
func TestChartColours(t *testing.T) {
	dir, _ := play(t, "excel", nil)
	z, err := zip.OpenReader(filepath.Join(dir, "report.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open("xl/charts/chart1.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range lineColours[:2] {
		if !strings.Contains(string(b), `<spPr><a:ln cap="rnd" w="22225"><a:solidFill><a:srgbClr val="`+colour) {
			t.Errorf("no line is %s", colour)
		}
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
