package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/result"
)

// call runs the command line in this process.
func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	none := func() int { return 0 }
	code = Run(&Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Lookup: func(string) (string, bool) { return "", false }, Now: time.Now, Exit: func(int) {},
		StdoutTerminal: none, StderrTerminal: none,
	})
	return code, out.String(), errs.String()
}

// TestBadScenariosTouchNothing: apply on any broken scenario exits 2 and leaves no file.
func TestBadScenariosTouchNothing(t *testing.T) {
	paths, err := filepath.Glob("../../../scenario/testdata/bad/*.hcl")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d scenarios, %v", len(paths), err)
	}
	for _, p := range paths {
		dir := t.TempDir()
		code, stdout, stderr := call("apply", p, "--out", filepath.Join(dir, "results"))
		if left, _ := os.ReadDir(dir); code != 2 || stdout != "" || !strings.Contains(stderr, "Error: ") || len(left) > 0 {
			t.Errorf("%s: exit code %d, left %v, stdout %q, stderr %q", p, code, left, stdout, stderr)
		}
	}
}

func TestExamplesPlanAndAreFormatted(t *testing.T) {
	paths, err := filepath.Glob("../../../examples/*.hcl")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	for _, p := range paths {
		for _, args := range [][]string{{"plan", p}, {"plan", "--json", p}, {"graph", p}, {"graph", "--format", "mermaid", p}, {"validate", p}, {"fmt", "--check", p}} {
			if code, _, stderr := call(args...); code != 0 {
				t.Errorf("%v: exit code %d: %s", args, code, stderr)
			}
		}
	}
}

func TestHelp(t *testing.T) {
	for args, want := range map[string]string{
		"--help": "apply", "help apply": "--only", "help phase": "min_requests", "help sim": "prefill_tokens_per_s", "help synthetic": "shape",
		"help metrics": "tpot_ms", "help reasons": "READY_TIMEOUT", "help server": "memory_fraction", "sim --help": "spark-gpt-oss-20b-vllm", "compare --help": "--fail-if", "export --help": "--sink", "show --help": "SCENARIO/latest", "runs --help": "sparkrun runs sweep", "version": "sparkrun",
	} {
		if code, stdout, stderr := call(strings.Fields(args)...); code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, "Additional Commands") {
			t.Errorf("%s: exit code %d, no %q in %s%s", args, code, want, stdout, stderr)
		}
	}
	if code, _, stderr := call("help", "nonsense"); code != 2 || !strings.Contains(stderr, "nonsense") {
		t.Errorf("help nonsense: %d %s", code, stderr)
	}
}

func TestFmt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.hcl")
	if err := os.WriteFile(file, []byte("server \"a\" {\nframework=\"sim\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := call("fmt", "--check", "--diff", file); code != 3 || !strings.Contains(stdout, "+  framework = \"sim\"") {
		t.Errorf("fmt --check --diff: %d %s", code, stdout)
	}
	if code, stdout, _ := call("fmt", file); code != 0 || stdout != file+"\n" {
		t.Errorf("fmt: %d %s", code, stdout)
	}
	if code, _, _ := call("fmt", "--check", file); code != 0 {
		t.Errorf("formatted, and fmt --check gives %d", code)
	}
}

// TestComparisonOfNothing: cells with no repeat that may be compared say why there are no numbers.
func TestComparisonOfNothing(t *testing.T) {
	var out bytes.Buffer
	r := compared{RunComparison: &result.RunComparison{Base: "one", New: "two", Cells: []result.Comparison{
		{Benchmark: "b", Phase: "steady", Repeats: [2]int{0, 2}, Note: result.NotTested},
		{Benchmark: "b", Phase: "later", Repeats: [2]int{1, 2}, Note: result.NotTested},
	}}}
	r.print(&out)
	want := "one → two\n\nbenchmark.b steady (0 and 2 repeats are ok or suspect: nothing to compare)\n\nbenchmark.b later (1 and 2 repeats: " + result.NotTested + ")\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
