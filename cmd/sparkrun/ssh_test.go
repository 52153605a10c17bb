package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/targets/node/sshtest"
)

// sshScenario has a server on each of two nodes.
const sshScenario = `
variable "life" {
  type    = string
  default = ""
}
variable "requests" {
  type    = number
  default = 4
}
variable "port" {
  type    = number
  default = null
}
variable "access" {
  type    = string
  default = "direct"
}
variable "drop" {
  type    = bool
  default = false
}
variable "user" {
  type    = string
  default = null
}
variable "concurrency" {
  type    = list(number)
  default = [1, 2]
}

node "spark1" {
  host        = "spark1"
  access      = var.access
  drop_caches = var.drop
  user        = var.user
}

node "spark2" {
  host = "spark2"
}

server "a" {
  framework = "command"
  nodes     = [node.spark1]
  port      = var.port
  command   = ["FAULTSERVER", "-life", var.life, "-port", "{port}", "-host", "{host}", "--", "a b", "$HOME 'x' \"y\"", "{\"k\": [1]}", "two\nlines", "日本"]
  env = {
    HF_TOKEN = env("HF_TOKEN")
  }
  stop {
    grace = "1s"
  }
}

server "good" {
  framework = "sim"
  nodes     = [node.spark2]
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  matrix {
    server      = [server.a, server.good]
    concurrency = var.concurrency
  }
  server  = matrix.server
  dataset = dataset.short
  order   = "file"

  phase "steady" {
    requests    = matrix.server == server.a ? var.requests : 4
    concurrency = matrix.concurrency
  }
}

sink "json" {}
`

// impatient makes a node count as gone soon, for a test that loses one: after some seconds of
// silence, or after eight in which it refuses connections. A busy machine is not as late.
const impatient = "  ServerAliveInterval 2\n  ServerAliveCountMax 2\n  ConnectTimeout 5\n"

// cluster are two nodes, and a folder with a scenario for them.
type cluster struct {
	dir    string
	env    []string
	client *sshtest.Client
	nodes  [2]*sshtest.Server
}

// newCluster starts two nodes. Of the first one's options both have those of ~/.ssh/config.
func newCluster(t *testing.T, scenario, token string, first sshtest.Options) *cluster {
	t.Helper()
	c := &cluster{client: sshtest.NewClient(t)}
	c.nodes[0] = c.client.Start(t, "spark1", "127.0.0.2", first)
	c.nodes[1] = c.client.Start(t, "spark2", "127.0.0.3", sshtest.Options{SSH: first.SSH})
	c.env = []string{"HOME=" + c.client.Home, "SSH_AUTH_SOCK=", "HF_TOKEN=" + token, "DOCKER_HOST=unix:///no/engine/here"}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.dir = dir
	program, err := exec.LookPath("faultserver")
	if err != nil {
		t.Fatal(err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		t.Fatal(err)
	}
	// By its own name it is faultserver.
	link := filepath.Join(dir, "faultserver")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scenario.hcl"), []byte(strings.ReplaceAll(scenario, "FAULTSERVER", link)), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) sparkrun(t *testing.T, crash string, args ...string) (string, error) {
	t.Helper()
	return sparkrunIn(t, c.dir, append([]string{crashVariable + "=" + crash}, c.env...), args...)
}

// apply runs the scenario and checks its exit code and what it printed, and that nothing of
// it is left on the nodes.
func (c *cluster) apply(t *testing.T, id string, code int, patterns []string, args ...string) string {
	t.Helper()
	out, err := c.sparkrun(t, "", append([]string{"apply", "scenario.hcl", "--run-id", id}, args...)...)
	if got := exitCode(err); got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, out)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out) {
			t.Errorf("no match for %s in\n%s", p, out)
		}
	}
	return out
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}

// nothingLeft waits until no process of a run below the folder is on the nodes: those of a
// node that did not answer at the end go with their lease.
func (c *cluster) nothingLeft(t *testing.T) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if left = c.left(t); len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("processes are left: %q", left)
			return
		}
	}
}

func (c *cluster) left(t *testing.T) []string {
	t.Helper()
	var out []string
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), "SPARKRUN_NODE_RUN="+c.dir) {
			cmdline, _ := os.ReadFile(filepath.Dir(p) + "/cmdline")
			out = append(out, filepath.Base(filepath.Dir(p))+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return append(out, markedIn(t, c.dir)...)
}

func (c *cluster) read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{c.dir, "results/scenario"}, path...)...))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// inMidRun does something once a run has its first row of server.a.
func (c *cluster) inMidRun(id string, do func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		waitForRow(filepath.Join(c.dir, "results/scenario", id, "rows/1.jsonl"))
		do()
	}()
	return done
}

const (
	goodDone = `(?s)(ok|suspect) +benchmark\.chat\[server=good,concurrency=1\]#1 steady: 4 of 4.*(ok|suspect) +benchmark\.chat\[server=good,concurrency=2\]#1 steady: 4 of 4`
	badDone  = `(?s)(ok|suspect) +benchmark\.chat\[server=a,concurrency=2\]#1 steady: 4 of 4`
)

// TestNodes is the life of servers on two nodes over real sshds.
func TestNodes(t *testing.T) {
	t.Parallel()
	const token = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz"
	c := newCluster(t, sshScenario, token, sshtest.Options{})
	t.Run("start, ready, measured, logged, stopped", func(t *testing.T) {
		out := c.apply(t, "one", 0, []string{goodDone, badDone}, "--var", "life=tell")
		log := c.read(t, "one/logs/server.a.log")
		if want := `arguments ["a b" "$HOME 'x' \"y\"" "{\"k\": [1]}" "two\nlines" "日本"]`; !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
		if !strings.Contains(log, "my token is (sensitive) of length 29") || strings.Contains(log, "process list shows it") {
			t.Errorf("%s", log)
		}
		if text := c.read(t, "one/journal.jsonl"); !regexp.MustCompile(`"type":"create",.*"name":"server.a".*"node":"spark1"`).MatchString(text) || strings.Contains(text+out, token) {
			t.Errorf("%s", text)
		}
		if left := c.left(t); len(left) > 0 {
			t.Errorf("%q", left)
		}
		for _, n := range c.nodes {
			if runs, _ := filepath.Glob(n.Home + "/.cache/sparkrun/run-*"); len(runs) > 0 {
				t.Errorf("left on %s: %q", n.Name, runs)
			}
		}
	})
	t.Run("tunnel and page cache", func(t *testing.T) {
		out := c.apply(t, "tunnel", 0, []string{goodDone, badDone}, "--var", "access=ssh_tunnel", "--var", "drop=true")
		if !strings.Contains(out, "tunnelled") {
			t.Errorf("%s", out)
		}
		if text := c.read(t, "tunnel/journal.jsonl"); !regexp.MustCompile(`"name":"server.a".*"caches":"(not )?dropped`).MatchString(text) {
			t.Errorf("%s", text)
		}
	})
	t.Run("killed and taken down", func(t *testing.T) {
		if out, _ := c.sparkrun(t, "after 3", "apply", "scenario.hcl", "--only", "server=a", "--run-id", "dead"); len(c.left(t)) == 0 {
			t.Fatalf("the server should have outlived sparkrun:\n%s", out)
		}
		out, err := c.sparkrun(t, "", "down", "dead")
		if err != nil || !strings.Contains(out, "Removed server.a: faultserver (pid ") {
			t.Errorf("%v\n%s", err, out)
		}
		if left := c.left(t); len(left) > 0 {
			t.Errorf("%q", left)
		}
	})
	t.Run("dead run swept by the next", func(t *testing.T) {
		_, _ = c.sparkrun(t, "after 3", "apply", "scenario.hcl", "--only", "server=a", "--run-id", "dead2")
		c.apply(t, "next", 0, []string{`removed what the dead run \S+/dead2 left: server\.a: faultserver`}, "--only", "server=a,concurrency=2")
	})
	t.Run("kept", func(t *testing.T) {
		if out, err := c.sparkrun(t, "", "up", "scenario.hcl", "--only", "server=a", "--run-id", "up"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		c.apply(t, "adopting", 0, []string{badDone, `server\.a is running already \(http://127\.0\.0\.2:\d+/v1, run up\): it is used`}, "--only", "server=a")
		if out, err := downAlone(t, c.dir, c.env); err != nil || !strings.Contains(out, "Removed server.a: ") {
			t.Errorf("%v\n%s", err, out)
		}
		if left := c.left(t); len(left) > 0 {
			t.Errorf("%q", left)
		}
	})
}

// TestNodeFaults is what can go wrong with a node before and while it is measured: each has
// its reason, the other node's cells are measured, nothing is left.
func TestNodeFaults(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sshScenario, "x", sshtest.Options{})
	t.Run("killed in mid-load", func(t *testing.T) {
		done := c.inMidRun("killed", func() {
			lines, _ := journal.Read(filepath.Join(c.dir, "results/scenario/killed/journal.jsonl"))
			for _, l := range lines {
				if l.Type == journal.Created && l.Name == "server.a" {
					_ = syscall.Kill(l.Pid, syscall.SIGKILL)
				}
			}
		})
		c.apply(t, "killed", 3, []string{goodDone, `MEASURE_SERVER_DIED: server\.a on spark1 ended \(exit status 137: signal: killed\) while it was measured`}, "--var", "requests=100000", "--only", "server=good", "--only", "server=a,concurrency=1")
		<-done
		c.nothingLeft(t)
	})
	t.Run("port taken", func(t *testing.T) {
		other := exec.Command("faultserver", "-port", strconv.Itoa(sshtest.FreePort(t)), "-host", "0.0.0.0")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
		port := other.Args[2]
		waitForPort(t, port)
		c.apply(t, "port", 3, []string{goodDone, `PREFLIGHT_PORT_TAKEN: check server\.a: port ` + port + ` is taken by pid \d+ \(faultserver\)`}, "--var", "port="+port)
		doctor, err := c.sparkrun(t, "", "doctor", "scenario.hcl", "--var", "port="+port)
		if err == nil || !strings.Contains(doctor, "port "+port+" on spark1 is taken by pid") || !regexp.MustCompile(`ok +spark2 +its servers are reached at 127\.0\.0\.3`).MatchString(doctor) {
			t.Errorf("%v\n%s", err, doctor)
		}
	})
	t.Run("wrong user", func(t *testing.T) {
		c.apply(t, "user", 3, []string{goodDone, `HOST_LOGIN: .*spark1.*of user nobody-of-this-name`}, "--var", "user=nobody-of-this-name")
	})
	t.Run("host key changed", func(t *testing.T) {
		hosts, _ := os.ReadFile(c.client.Path("known_hosts"))
		other := filepath.Join(t.TempDir(), "k")
		sshtest.Keygen(t, other, "ed25519")
		c.nodes[0].Keys["other"] = other
		c.client.Write(t, "known_hosts", c.nodes[0].Known(t, "other")+c.nodes[1].Known(t, "ed25519"))
		c.apply(t, "changed", 3, []string{goodDone, `HOST_KEY: .*is not the one that was known .*ssh-keygen -f \S+ -R '\[127\.0\.0\.2\]:\d+'`})
		c.client.Write(t, "known_hosts", c.nodes[1].Known(t, "ed25519"))
		out, err := c.sparkrun(t, "", "doctor", "scenario.hcl")
		if err == nil || !regexp.MustCompile(`fail +spark1 .*ssh-keyscan -p \d+ 127\.0\.0\.2 >> \S+known_hosts`).MatchString(out) {
			t.Errorf("%v\n%s", err, out)
		}
		c.client.Write(t, "known_hosts", string(hosts))
	})
	t.Run("key refused", func(t *testing.T) {
		keys, _ := os.ReadFile(c.nodes[0].Authorized)
		if err := os.WriteFile(c.nodes[0].Authorized, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c.apply(t, "refused", 3, []string{goodDone, `HOST_LOGIN: .*spark1.*the node refused the login of user \S+: tried \S+id_ed25519`})
		out, err := c.sparkrun(t, "", "doctor", "scenario.hcl")
		if err == nil || !regexp.MustCompile(`fail +spark1 .*the node refused the login of user \S+: tried \S+id_ed25519`).MatchString(out) {
			t.Errorf("%v\n%s", err, out)
		}
		if err := os.WriteFile(c.nodes[0].Authorized, keys, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	c.nothingLeft(t)
}

// TestLostNodes is what becomes of a run whose connection to a node breaks, for a moment or
// for good.
func TestLostNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sshScenario, "x", sshtest.Options{SSH: impatient})
	t.Run("connection dropped in mid-load", func(t *testing.T) {
		done := c.inMidRun("dropped", func() {
			for range 3 {
				c.nodes[0].Drop()
				time.Sleep(200 * time.Millisecond)
			}
		})
		c.apply(t, "dropped", 0, []string{goodDone, `steady: 150 of 150`}, "--var", "requests=150")
		<-done
	})
	t.Run("sshd killed in mid-load", func(t *testing.T) {
		done := c.inMidRun("gone", c.nodes[0].Kill)
		c.apply(t, "gone", 3, []string{goodDone, `HOST_UNREACHABLE: server\.a on spark1 was lost while it was measured`,
			`skipped +benchmark\.chat\[server=a,concurrency=2\]#1.*HOST_UNREACHABLE: spark1 does not answer any more`,
			`HOST_UNREACHABLE: stop server\.a on spark1: spark1 may still hold up to \d+\.\d GiB: .*sparkrun down`}, "--var", "requests=1000000")
		<-done
		c.nodes[0].Up(t)
		out, err := c.sparkrun(t, "", "down", "gone")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		c.nothingLeft(t)
	})
}

// TestFrozenNode: a node that stops answering with its connections open: its packets are
// dropped, or where that can't be had its sshd is stopped, as one is that is out of memory.
func TestFrozenNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sshScenario, "x", sshtest.Options{SSH: impatient})
	thaw := c.nodes[0].Thaw
	done := c.inMidRun("frozen", func() {
		mend, ok := c.nodes[0].Cut()
		if ok {
			thaw = mend
			t.Cleanup(mend)
			return
		}
		t.Log("packets can't be dropped here: the sshd is stopped")
		c.nodes[0].Freeze()
	})
	c.apply(t, "frozen", 3, []string{goodDone, `HOST_UNREACHABLE: server\.a on spark1 was lost while it was measured.*(no|does not) answer`, `skipped +benchmark\.chat\[server=a,concurrency=2\]`}, "--var", "requests=1000000")
	<-done
	out, err := c.sparkrun(t, "", "down", "frozen")
	if exitCode(err) != 5 || !strings.Contains(out, "HOST_UNREACHABLE: remove what is left of server.a on spark1") {
		t.Errorf("%v\n%s", err, out)
	}
	c.nothingLeft(t)
	thaw()
	if out, err := c.sparkrun(t, "", "down", "frozen"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNodeLimits: sshds that allow one session at a time, and a node whose disk is full.
func TestNodeLimits(t *testing.T) {
	t.Parallel()
	small := filepath.Join(t.TempDir(), "small")
	if err := os.MkdirAll(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs can be mounted, a full disk is not tested: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", small).Run() })
	c := newCluster(t, sshScenario, "x", sshtest.Options{Home: small, Config: "MaxSessions 1"})
	c.apply(t, "sessions", 0, []string{goodDone, badDone})
	if err := os.WriteFile(filepath.Join(small, "fill"), make([]byte, 64<<10), 0o600); err == nil {
		t.Fatal("64 KiB fit into 16")
	}
	c.apply(t, "full", 3, []string{goodDone, `HOST_DISK_FULL: start server\.a on spark1: .*No space left on device`})
	c.nothingLeft(t)
}

const nodeContainerScenario = `
variable "requests" {
  type    = number
  default = 4
}

node "spark1" {
  host = "spark1"
}

node "spark2" {
  host = "spark2"
}

server "box" {
  framework = "command"
  nodes     = [node.spark1]
  image     = "sparkrun-test/faultserver:1"
  command   = ["/faultserver", "-port", "{port}", "-host", "{host}"]
  mounts    = ["~/models:/models"]
  env = {
    HF_TOKEN = env("HF_TOKEN")
  }
  stop {
    grace = "1s"
  }
}

server "good" {
  framework = "sim"
  nodes     = [node.spark2]
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  matrix {
    server = [server.box, server.good]
  }
  server  = matrix.server
  dataset = dataset.short
  order   = "file"

  phase "steady" {
    requests    = matrix.server == server.box ? var.requests : 4
    concurrency = 2
  }
}

sink "json" {}
`

// containersOnANode: a server in a container of a node whose engine is reached through the
// node's connection alone.
func containersOnANode(t *testing.T, e *engine) {
	const token = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz"
	c := newCluster(t, nodeContainerScenario, token, sshtest.Options{SSH: impatient, Config: "SetEnv DOCKER_HOST=" + e.host})
	const measured = `(?s)(ok|suspect) +benchmark\.chat\[server=good\]#1 steady: 4 of 4`
	const box = "sparkrun-server.box-" // how the names of its containers begin
	nothingLeft := func(t *testing.T) {
		t.Helper()
		e.nothingLeft(t, box)
		c.nothingLeft(t)
	}
	t.Run("start, ready, measured, logged, removed", func(t *testing.T) {
		out := c.apply(t, "one", 0, []string{measured, `benchmark\.chat\[server=box\]#1 steady: 4 of 4`})
		if strings.Contains(out, token) || !strings.Contains(c.read(t, "one/logs/server.box.log"), "starting") {
			t.Errorf("%s", out)
		}
		nothingLeft(t)
	})
	t.Run("connection dropped in mid-load", func(t *testing.T) {
		done := c.inMidRun("dropped", c.nodes[0].Drop)
		c.apply(t, "dropped", 0, []string{measured, `benchmark\.chat\[server=box\]#1 steady: 300 of 300`}, "--var", "requests=300")
		<-done
		nothingLeft(t)
	})
	t.Run("connection frozen in mid-load", func(t *testing.T) {
		done := c.inMidRun("frozen", c.nodes[0].Freeze)
		c.apply(t, "frozen", 3, []string{measured, `HOST_UNREACHABLE: server\.box on spark1 was lost while it was measured`, `HOST_UNREACHABLE: stop server\.box on spark1: spark1 may still hold`}, "--var", "requests=1000000")
		<-done
		c.nodes[0].Thaw()
		if len(e.names(t, box)) != 1 {
			t.Errorf("%q", e.names(t, box))
		}
		if out, err := c.sparkrun(t, "", "down", "frozen"); err != nil || !strings.Contains(out, "container sparkrun-server.box-") {
			t.Errorf("%v\n%s", err, out)
		}
		nothingLeft(t)
	})
}
