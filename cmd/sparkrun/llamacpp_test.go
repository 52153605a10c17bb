package main

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sparkrun/runner/table"
)

// TestRealEngine runs examples/llamacpp.hcl: llama.cpp is launched, measured and stopped,
// as the Python package of its server, with a model of random weights, and as llama-server
// where one is on the PATH. SPARKRUN_TEST_PYTHON names a Python with xllamacpp, as .ci/run
// installs it.
func TestRealEngine(t *testing.T) {
	python := cmp.Or(os.Getenv("SPARKRUN_TEST_PYTHON"), "python3")
	var only []string
	if _, err := exec.Command(python, "-c", "import xllamacpp").Output(); err == nil {
		only = append(only, "pip")
	}
	if _, err := exec.LookPath("llama-server"); err == nil {
		only = append(only, "llamacpp")
	}
	if len(only) == 0 {
		t.Skipf("%s has no xllamacpp, and there is no llama-server: no real engine is run (pip install xllamacpp)", python)
	}
	example, err := os.ReadFile("../../examples/llamacpp.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range only {
		t.Run(server, func(t *testing.T) {
			dir := folderWith(t, string(example))
			model := filepath.Join(dir, "random.gguf")
			writeGGUF(t, model)
			out, err := sparkrun(t, dir, "", "apply", "scenario.hcl", "--run-id", "one", "--only", "server="+server, "--var", "python="+python, "--var", "model="+model)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			realEngineMeasured(t, filepath.Join(dir, "results/scenario/one"), server)
			if left := markedIn(t, dir); len(left) > 0 {
				t.Errorf("it leaves %q", left)
			}
		})
	}
}

// realEngineMeasured looks at what the example's run has left.
func realEngineMeasured(t *testing.T, run, server string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(run, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Run struct {
			Servers []struct {
				Engine string   `json:"engine_version"`
				Argv   []string `json:"argv"`
			} `json:"servers"`
		} `json:"run"`
		Cells []struct {
			Address  string `json:"address"`
			Verdict  string `json:"verdict"`
			Requests struct {
				OK     int `json:"ok"`
				Failed int `json:"failed"`
			} `json:"requests"`
			Metrics map[string]map[string]float64 `json:"metrics"`
			Marks   []struct{ Name, Why string }  `json:"marks"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(b, &summary); err != nil {
		t.Fatal(err)
	}
	if len(summary.Cells) != 2 {
		t.Fatalf("%d cells\n%s", len(summary.Cells), b)
	}
	for _, c := range summary.Cells {
		ttft, tpot := c.Metrics["ttft_ms"], c.Metrics["tpot_ms"]
		if c.Requests.OK != 40 || c.Requests.Failed != 0 || ttft["count"] != 40 || ttft["p50"] <= 0 || tpot["p50"] <= 0 {
			t.Errorf("%s: %+v", c.Address, c)
		}
		for _, m := range c.Marks {
			if m.Name == "count_mismatch" || m.Name == "server_restarted" {
				t.Errorf("%s: %s: %s", c.Address, m.Name, m.Why)
			}
		}
		if got := c.Metrics["output_tokens"]; got["min"] != 32 || got["max"] != 32 {
			t.Errorf("%s: output tokens %v", c.Address, got)
		}
	}
	// Its own counters were read, and are those of the answers.
	samples, err := table.Open(filepath.Join(run, "telemetry", "1.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	told := false
	if err := samples.RowsWhere("name", "generation_tokens", func([]table.Value) error { told = true; return nil }); err != nil || !told {
		t.Errorf("no telemetry of the engine: %v", err)
	}
	if s := summary.Run.Servers; len(s) != 1 || len(s[0].Argv) == 0 {
		t.Errorf("%s: %+v", server, s)
	}
}
