package sinks

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sparkrun/runner/table"
	"sparkrun/scenario/schema"
)

// TestParquet: a row a cell and a row a request, with the columns of sink csv behind the run's,
// typed; undefined is null.
func TestParquet(t *testing.T) {
	read := func(rows string) (list []map[string]any, names []string) {
		dir, _ := play(t, "parquet", schema.Values{"rows": schema.Plain(rows)})
		in, err := table.Open(filepath.Join(dir, "results.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		for _, c := range in.Columns() {
			names = append(names, c.Name)
		}
		err = in.Rows(func(values []table.Value) error {
			row := map[string]any{}
			for i, c := range in.Columns() {
				row[c.Name] = values[i].Any(c.Type)
			}
			list = append(list, row)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return list, names
	}
	cells, names := read("cells")
	csvDir, _ := play(t, "csv", nil)
	b, err := os.ReadFile(filepath.Join(csvDir, "results.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(string(b), "\n"); "run_id,"+head != strings.Join(names, ",") {
		t.Errorf("columns %v, those of sink csv are %s", names, head)
	}
	c := cells[1]
	if len(cells) != 4 || c["run_id"] != "one" || c["axis_users"] != "4" || c["verdict"] != "suspect" || c["requests.ok"] != int64(50) || c["ttft_ms.count"] != int64(50) || c["ttft_ms.p50"] != 41.0 || c["ttft_ms.p999"] != nil || c["requests.success_rate"] != 1.0 {
		t.Errorf("%d cells, the second %v", len(cells), c)
	}
	requests, _ := read("requests")
	r := requests[0]
	if len(requests) != 150 || r["measured"] != true || r["ttft_ms"] != 40.0 || r["input_tokens"] != int64(100) || r["cached_tokens"] != nil || r["error"] != nil || r["sent_ns"] != int64(1e7) {
		t.Errorf("%d requests, the first %v", len(requests), r)
	}
}

// TestSQLite: the tables that its doc promises, typed; undefined is NULL.
func TestSQLite(t *testing.T) {
	dir, _ := play(t, "sqlite", nil)
	path := filepath.Join(dir, "results.sqlite")
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); left != nil {
		t.Errorf("%q is left", left)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]string{
		"SELECT count(*) || ' ' || max(run_id) || ' ' || max(simulated) FROM run":                                                       "1 one 1",
		"SELECT count(*) || ' ' || sum(\"requests.ok\") || ' ' || sum(\"ttft_ms.p999\" IS NULL) FROM cells":                             "4 150 4",
		"SELECT typeof(\"ttft_ms.p50\") || ' ' || typeof(\"requests.ok\") || ' ' || typeof(axis_users) FROM cells":                      "real integer text",
		"SELECT count(*) || ' ' || sum(input_tokens) || ' ' || min(typeof(cached_tokens)) || ' ' || max(typeof(tpot_ms)) FROM requests": "150 15000 null real",
		"SELECT sum(measured) || ' ' || min(run_id) FROM requests":                                                                      "150 one",
		"SELECT mark || ': ' || why FROM marks WHERE cell LIKE '%users=4%' AND mark = 'not_steady'":                                     "not_steady: the output-token rate rose",
		"SELECT name || ' ' || pass || ' ' || message FROM thresholds WHERE NOT pass":                                                   "bad 0 too slow",
		"SELECT count(*) FROM errors": "0",
	} {
		var got string
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s\ngives %q, %v; want %q", query, got, err, want)
		}
	}
}

// TestSQLitePath: a path with what ends one in a URI.
func TestSQLitePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?b#c%20.sqlite")
	run, cells := sample()
	s := &sqlite{path: path}
	ctx := context.Background()
	if err := s.Begin(ctx, run); err != nil {
		t.Fatal(err)
	}
	if err := s.Cell(ctx, cells[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.End(ctx, run); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("no file: %v", err)
	}
}

// sampleLine is a line of Prometheus' text format 0.0.4.
var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)$`)

// metricsOf reads the format: families stand together under their TYPE.
func metricsOf(t *testing.T, text string) map[string]string {
	t.Helper()
	samples, family, seen := map[string]string{}, "", map[string]bool{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if rest, ok := strings.CutPrefix(l, "# TYPE "); ok {
			family, _, _ = strings.Cut(rest, " ")
			if seen[family] {
				t.Errorf("family %s begins twice", family)
			}
			seen[family] = true
			continue
		}
		if strings.HasPrefix(l, "# HELP ") {
			continue
		}
		m := sampleLine.FindStringSubmatch(l)
		if m == nil || m[1] != family {
			t.Fatalf("in family %s: %q", family, l)
		}
		if _, twice := samples[m[1]+"{"+m[2]+"}"]; twice {
			t.Errorf("twice: %s", l)
		}
		samples[m[1]+"{"+m[2]+"}"] = m[3]
	}
	return samples
}

// TestPrometheus: the file has every defined number of the cells, under names and labels that
// Prometheus takes.
func TestPrometheus(t *testing.T) {
	dir, _ := play(t, "prometheus", schema.Values{"listen": schema.Plain("")})
	b, err := os.ReadFile(filepath.Join(dir, "metrics.prom"))
	if err != nil {
		t.Fatal(err)
	}
	got := metricsOf(t, string(b))
	at := `run="one",scenario="sample",benchmark="chat",server="server.vllm",repeat="1",phase="steady",axis_server="vllm",axis_users="4"`
	for name, want := range map[string]string{
		`sparkrun_ttft_ms{` + at + `,stat="p50"}`:                       "41",
		`sparkrun_requests_ok{` + at + `}`:                              "50",
		`sparkrun_verdict{` + at + `,verdict="suspect"}`:                "1",
		`sparkrun_goodput_slo_attainment{` + at + `,slo="all"}`:         "",
		`sparkrun_ttft_ms{` + at + `,stat="p999"}`:                      "", // undefined: not there
		`sparkrun_run_info{run="one",scenario="sample",version="test"}`: "1",
		`sparkrun_cells{run="one",scenario="sample"}`:                   "4",
		`sparkrun_live_in_flight{run="one",scenario="sample",cell="x"}`: "",
		`sparkrun_output_tokens_per_s{` + at + `}`:                      fmt.Sprint(*mustValue(t, "throughput.output_tokens_per_s")),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// mustValue is a number of the sample's second cell.
func mustValue(t *testing.T, path string) *float64 {
	t.Helper()
	run, _ := sample()
	v := run.Entries[1].Value(path)
	if v == nil || math.IsNaN(*v) {
		t.Fatalf("%s is undefined", path)
	}
	return v
}

// TestExpositionQuotes: what stands in a label ends no line.
func TestExpositionQuotes(t *testing.T) {
	run, _ := sample()
	run.Scenario = "a\"b\\c\nd"
	text := string(exposition(run, run.Entries, []Live{{Cell: "x\"y", Phase: "p"}}, 0, 4, 12))
	got := metricsOf(t, text)
	if got[`sparkrun_live_in_flight{run="one",scenario="a\"b\\c\nd",cell="x\"y",phase="p"}`] != "0" || got[`sparkrun_remaining_seconds{run="one",scenario="a\"b\\c\nd"}`] != "12" {
		t.Errorf("%s", text[:500])
	}
}
