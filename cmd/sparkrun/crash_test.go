package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"sparkrun/runner/journal"
)

// crashVariable says at which line of its journal a sparkrun of a test kills itself:
// "before 3" or "after 3".
const crashVariable = "SPARKRUN_TEST_CRASH"

func crashAt(at string) func(journal.Line, bool) {
	if at == "" {
		return nil
	}
	return func(l journal.Line, written bool) {
		if when := map[bool]string{false: "before", true: "after"}[written]; at == fmt.Sprintf("%s %d", when, l.Seq) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it has come
		}
	}
}

// The server outlives a sparkrun that is killed, and has a child that left its group.
const crashScenario = `
server "a" {
  framework = "command"
  command   = ["faultserver", "-life", "child", "-port", "{port}"]
  stop {
    grace = "5s"
  }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  server  = server.a
  dataset = dataset.short

  phase "steady" {
    requests    = 4
    concurrency = 2
  }
}

sink "json" {}
`

// sparkrun runs the command line in a folder and returns what it printed.
func sparkrun(t *testing.T, dir, crash string, args ...string) (string, error) {
	t.Helper()
	return sparkrunIn(t, dir, []string{crashVariable + "=" + crash}, args...)
}

// sparkrunIn is sparkrun with more environment.
func sparkrunIn(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("sparkrun", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// markedIn are the living processes that carry the mark of a run below dir, from /proc
// itself: the code under test has no part in it.
func markedIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(b), "SPARKRUN_RUN="+dir) {
			continue
		}
		pid := filepath.Base(filepath.Dir(p))
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
			cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			out = append(out, pid+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return out
}

// TestKilledAtEveryLine kills sparkrun just before and just after every line of its
// journal. After `sparkrun down` no process of the run is left, nor a line of the journal
// that says so.
func TestKilledAtEveryLine(t *testing.T) {
	whole := crashFolder(t)
	if out, err := sparkrun(t, whole, "", "apply", "scenario.hcl", "--run-id", "one"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines, err := journal.Read(filepath.Join(whole, "results/scenario/one/journal.jsonl"))
	if err != nil || len(lines) < 6 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if left := markedIn(t, whole); len(left) > 0 {
		t.Fatalf("a whole run leaves %q", left)
	}
	var outlived atomic.Int64
	t.Cleanup(func() {
		if outlived.Load() == 0 {
			t.Error("no server outlived its sparkrun, so down was not tried")
		}
	})
	for _, l := range lines {
		for _, when := range []string{"before", "after"} {
			at := fmt.Sprintf("%s %d", when, l.Seq)
			t.Run(strings.ReplaceAll(at, " ", "_")+"_"+string(l.Type), func(t *testing.T) {
				t.Parallel()
				outlived.Add(int64(killedAt(t, at)))
			})
		}
	}
}

// killedAt returns how many processes outlived sparkrun. Another sparkrun on this machine
// removes what a dead one leaves too, so that there may be fewer than one thinks.
func killedAt(t *testing.T, at string) (outlived int) {
	dir := crashFolder(t)
	out, err := sparkrun(t, dir, at, "apply", "scenario.hcl", "--run-id", "one")
	if err == nil {
		t.Fatalf("it was not killed:\n%s", out)
	}
	left := markedIn(t, dir)
	out, err = sparkrun(t, dir, "", "down", "one")
	if err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
	if left := markedIn(t, dir); len(left) > 0 {
		t.Errorf("after down there is %q\n%s", left, out)
	}
	lines, _ := journal.Read(filepath.Join(dir, "results/scenario/one/journal.jsonl"))
	for _, c := range journal.Leftover(lines) {
		t.Errorf("the journal still has %s %s", c.Kind, c.Name)
	}
	if out, err := sparkrun(t, dir, "", "down", "one"); err != nil || !strings.Contains(out, "Nothing is left.") {
		t.Errorf("down again: %v\n%s", err, out)
	}
	return len(left)
}

// downAlone is `sparkrun down` without a name, which takes what is left on the whole machine, where
// it sees no process of this one: tests and people beside it keep theirs. before is a line of
// the shell that runs there first.
func downAlone(t *testing.T, dir string, env []string, before ...string) (string, error) {
	t.Helper()
	alone := []string{"--pid", "--fork", "--mount-proc", "sh", "-c"}
	if out, err := exec.Command("unshare", append(alone, "true")...).CombinedOutput(); err != nil {
		t.Skipf("down without a name is not tested, it takes unshare and root: %v: %s", err, out)
	}
	cmd := exec.Command("unshare", append(alone, strings.Join(append(before, "sparkrun down"), " && "))...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestDownOfAll: without a name, down takes what any run has left, wherever its folder is.
func TestDownOfAll(t *testing.T) {
	t.Parallel()
	dir := crashFolder(t)
	out, err := downAlone(t, dir, nil, "sparkrun up scenario.hcl --run-id kept", "cd /")
	if err != nil || !strings.Contains(out, "Removed server.a: faultserver (pid ") || !strings.Contains(out, " of "+dir+"/results/scenario/kept\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// crashFolder is a folder with the scenario. Its path is short of symbolic links, so
// that it can be found in marks.
func crashFolder(t *testing.T) string {
	t.Helper()
	return folderWith(t, crashScenario)
}

// folderWith is a folder with a scenario in it, by the name that no link changes.
func folderWith(t *testing.T, scenario string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "scenario.hcl"), []byte(scenario), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
