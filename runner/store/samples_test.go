package store

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/table"
)

// TestSamples: lines while the cell runs, a Parquet file once it has ended, each sample under
// the phase that it fell into; nothing where nothing was sampled.
func TestSamples(t *testing.T) {
	r, err := Create(t.TempDir(), "scenario", "one")
	if err != nil {
		t.Fatal(err)
	}
	c := spoken(1, "n")
	s, err := r.CreateSamples(&result.Run{ID: r.ID}, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(r.Path("telemetry")); err == nil {
		t.Error("there is a folder for nothing")
	}
	s.Take([]record.Sample{{At: 5, From: "spark1", GPU: 0, Name: "gpu_power_watts", Value: 45.5}, {At: 5, From: "spark1", GPU: -1, Name: "memory_used_bytes", Value: 7}})
	s.Take([]record.Sample{{At: 15, From: "server.\"a\"", GPU: -1, Name: "requests_running", Value: 3}})
	b, err := os.ReadFile(r.Path("telemetry", "1.jsonl"))
	want := `{"run_id":"one","cell":"benchmark.b[n=x]#1","benchmark":"b","axis_n":"x","repeat":1,"at_ns":5,"source":"spark1","gpu":0,"name":"gpu_power_watts","value":45.5}
{"run_id":"one","cell":"benchmark.b[n=x]#1","benchmark":"b","axis_n":"x","repeat":1,"at_ns":5,"source":"spark1","gpu":null,"name":"memory_used_bytes","value":7}
{"run_id":"one","cell":"benchmark.b[n=x]#1","benchmark":"b","axis_n":"x","repeat":1,"at_ns":15,"source":"server.\"a\"","gpu":null,"name":"requests_running","value":3}
`
	if err != nil || string(b) != want {
		t.Errorf("%v\n%s", err, b)
	}
	if n := len(s.All()); n != 3 {
		t.Errorf("%d samples", n)
	}
	if err := s.Keep([]load.PhaseOutcome{{Name: "steady", Measure: true, Start: 10, End: 20}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Path("telemetry", "1.jsonl")); err == nil {
		t.Error("the lines are still there")
	}
	file, err := table.Open(r.Path("telemetry", "1.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var rows []string
	if err := file.Rows(func(row []table.Value) error {
		var line []string
		for i, v := range row {
			line = append(line, fmt.Sprint(v.Any(file.Columns()[i].Type)))
		}
		rows = append(rows, strings.Join(line, " "))
		return nil
	}); err != nil {
		t.Error(err)
	}
	got := strings.Join(rows, "\n")
	if got != "one benchmark.b[n=x]#1 b x 1 <nil> <nil> 5 spark1 0 gpu_power_watts 45.5\none benchmark.b[n=x]#1 b x 1 <nil> <nil> 5 spark1 <nil> memory_used_bytes 7\none benchmark.b[n=x]#1 b x 1 steady true 15 server.\"a\" <nil> requests_running 3" {
		t.Errorf("%s", got)
	}
	if _, err := r.CreateSamples(&result.Run{ID: r.ID}, c); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(r.Path("telemetry", "1.parquet")); err == nil {
		t.Error("what an earlier try left is still there")
	}
}
