package main

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const readersScenario = `
server "a" {
  framework = "sim"
  options = {
    ttft       = "4ms"
    itl        = "1ms"
    error_rate = 0.1
    seed       = 7
  }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,6)"
}

benchmark "chat" {
  matrix {
    AXIS = [1, 3]
  }
  server  = server.a
  dataset = dataset.short
  record {
    content = true
  }

  phase "warmup" {
    requests    = 4
    concurrency = 2
  }

  phase "steady" {
    requests    = 60
    concurrency = matrix.AXIS
  }
}

sink "sqlite" {}
`

// TestReadersNotOurs: pandas, pyarrow, duckdb and sqlite3 read what runs leave, with the documented
// columns and types, and their sums are those of the summary; a glob unites three runs.
// SPARKRUN_TEST_PYTHON names a Python that has them, as .ci/run installs it.
func TestReadersNotOurs(t *testing.T) {
	python := cmp.Or(os.Getenv("SPARKRUN_TEST_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import duckdb, pandas, pyarrow, sqlite3").CombinedOutput(); err != nil {
		t.Skipf("%s has not what it takes (pip install pandas pyarrow duckdb): %s", python, out)
	}
	t.Parallel()
	dir := t.TempDir()
	for id, axis := range map[string]string{"20260101-one": "users", "20260102-two": "users", "three": "rate"} {
		scenario := []byte(strings.ReplaceAll(readersScenario, "AXIS", axis))
		if err := os.WriteFile(filepath.Join(dir, "scenario.hcl"), scenario, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := sparkrun(t, dir, "", "apply", "scenario.hcl", "--run-id", id, "-q"); err != nil && !strings.Contains(out, "invalid") { // a tenth of the requests fails
			t.Fatalf("%v\n%s", err, out)
		}
	}
	script, err := filepath.Abs("testdata/readers/readers.py")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, script, filepath.Join(dir, "results", "scenario")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
