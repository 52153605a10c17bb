package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// memoryGroup makes a cgroup in which processes have so much memory together, and returns
// its folder. Where that can't be had, the test is skipped.
func memoryGroup(t *testing.T, limit int64) string {
	t.Helper()
	name := fmt.Sprintf("sparkrun-test-%d", os.Getpid())
	var why error
	for _, c := range []struct{ root, limit string }{
		{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		if _, err := os.Stat(filepath.Join(c.root, "cgroup.procs")); err != nil {
			why = err
			continue
		}
		dir := filepath.Join(c.root, name)
		if why = os.Mkdir(dir, 0o755); why != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if why = os.WriteFile(filepath.Join(dir, c.limit), fmt.Append(nil, limit), 0o644); why == nil {
			return dir
		}
	}
	t.Skipf("no cgroup with a memory limit can be made here: that the kernel's kills are told is not tested (%v)", why)
	return ""
}

const oomScenario = `
variable "life" {
  type = string
}

variable "group" {
  type = string
}

server "bad" {
  framework = "command"
  command   = ["sh", "-c", "echo $$ >$0/cgroup.procs && exec faultserver -life $1 -port $2", var.group, var.life, "{port}"]
  model     = "m"
  stop {
    grace = "100ms"
  }
}

server "good" {
  framework = "sim"
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  matrix {
    server = [server.bad, server.good]
  }
  server  = matrix.server
  dataset = dataset.short
  order   = "file"

  phase "steady" {
    requests    = matrix.server == server.bad ? 100000 : 4
    concurrency = 2
  }
}

sink "json" {}
`

// TestKilledForWantOfMemory: the kernel kills servers for want of memory, and a kill of
// somebody else's is not taken for one.
func TestKilledForWantOfMemory(t *testing.T) {
	group := memoryGroup(t, 96<<20)
	dir := folderWith(t, oomScenario)
	for _, c := range []struct{ life, want, not string }{
		{"greedy", `LAUNCH_OUT_OF_MEMORY: wait for server\.bad .*its program ended \(signal: killed\) before it was ready: the kernel has killed it for want of memory \(.*Killed process \d+ \(faultserver\).*anon-rss:\d+kB\): give it less memory`, ""},
		{"greedy_later", `MEASURE_OUT_OF_MEMORY: server\.bad ended \(signal: killed\) while it was measured: the kernel has killed it for want of memory \(.*Killed process \d+ \(faultserver\)`, "MEASURE_SERVER_DIED"},
		{"greedy_child", `MEASURE_OUT_OF_MEMORY: server\.bad ended \(exit status 1\) while it was measured: the kernel has killed it for want of memory \(.*Killed process \d+ \(faultserver\)`, "MEASURE_SERVER_DIED"},
		{"suicide", `MEASURE_SERVER_DIED: server\.bad ended \(signal: killed\) while it was measured: its last output`, "OUT_OF_MEMORY"},
	} {
		out, err := sparkrun(t, dir, "", "apply", "scenario.hcl", "--run-id", c.life, "--var", "life="+c.life, "--var", "group="+group)
		if exitCode(err) != 3 {
			t.Errorf("%s: %v", c.life, err)
		}
		for _, want := range []string{c.want, `(ok|suspect) +benchmark\.chat\[server=good\]#1 steady: 4 of 4`} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%s: no match for %s in\n%s", c.life, want, out)
			}
		}
		if c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%s: %s stands in\n%s", c.life, c.not, out)
		}
		summary, _ := os.ReadFile(filepath.Join(dir, "results/scenario", c.life, "summary.json"))
		if code, _, _ := strings.Cut(c.want, ":"); !strings.Contains(string(summary), code) && strings.HasPrefix(code, "MEASURE") {
			t.Errorf("%s: the summary does not say %s", c.life, code)
		}
		if left := markedIn(t, dir); len(left) > 0 {
			t.Errorf("%s leaves %q", c.life, left)
		}
	}
}
