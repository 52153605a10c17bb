package sinks

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sparkrun/runner/result"
	"sparkrun/scenario/schema"
)

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
