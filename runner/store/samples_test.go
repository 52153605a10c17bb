package store

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
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
	if back, err := r.ReadSamples(1); err != nil || len(back) != 3 || !reflect.DeepEqual(back, s.All()) {
		t.Errorf("read back from lines: %+v, %v", back, err)
	}
	if err := s.Keep([]load.PhaseOutcome{{Name: "steady", Measure: true, Start: 10, End: 20}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Path("telemetry", "1.jsonl")); err == nil {
		t.Error("the lines are still there")
	}
	if back, err := r.ReadSamples(1); err != nil || !reflect.DeepEqual(back, s.All()) {
		t.Errorf("read back: %+v, %v", back, err)
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
	if back, err := r.ReadSamples(1); err != nil || len(back) != 0 {
		t.Errorf("of nothing: %+v, %v", back, err)
	}
}

// TestTornSamples: a kill cuts a line; one that was written whole and is none is an error.
func TestTornSamples(t *testing.T) {
	whole := `{"at_ns":5,"source":"spark1","gpu":0,"name":"gpu_power_watts","value":45.5}` + "\n"
	if all, err := readSamples(strings.NewReader(whole + whole[:30])); err != nil || len(all) != 1 || all[0] != (record.Sample{At: 5, From: "spark1", Name: "gpu_power_watts", Value: 45.5}) {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := readSamples(strings.NewReader(whole + "{}}\n" + whole)); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("%v", err)
	}
}

// FuzzSamples: whatever a file of lines has, reading it ends.
func FuzzSamples(f *testing.F) {
	f.Add([]byte(`{"at_ns":5,"source":"spark1","gpu":0,"name":"gpu_power_watts","value":45.5}` + "\n{"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = readSamples(bytes.NewReader(b)) })
}
