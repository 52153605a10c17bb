package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/targets/node/sshtest"
)

// Where the server of sshGenerator is.
const (
	oneServer   = "nodes = [node.spark1]"
	twoReplicas = "nodes = [node.spark1, node.spark2]\n  replicas = 2"
)

// sshGenerator is generatorScenario with its server on nodes and workers on two.
func sshGenerator(generator, server string) string {
	nodes := "node \"spark1\" {\n  host = \"spark1\"\n}\nnode \"spark2\" {\n  host = \"spark2\"\n}\n"
	text := fmt.Sprintf(generatorScenario, nodes+generator)
	return strings.Replace(text, "framework = \"sim\"\n", "framework = \"sim\"\n  "+server+"\n", 1)
}

// load runs the scenario with a generator block on the nodes.
func (c *cluster) load(t *testing.T, id, generator, server string, code int, args ...string) (*store.Run, string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "scenario.hcl"), []byte(sshGenerator(generator, server)), 0o644); err != nil {
		t.Fatal(err)
	}
	out := c.apply(t, id, code, nil, args...)
	run, err := store.Open(filepath.Join(c.dir, "results/scenario", id))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return run, out
}

// clean checks that nothing of a run is on the nodes but the program.
func (c *cluster) clean(t *testing.T) {
	t.Helper()
	if left := c.left(t); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	for _, n := range c.nodes {
		files, _ := filepath.Glob(n.Home + "/.cache/sparkrun/*")
		if len(files) != 1 || filepath.Base(files[0]) != "bin" {
			t.Errorf("on %s: %q", n.Name, files)
		}
	}
}

// onReplicas checks where the requests of so many workers went: each sends to every replica,
// none of which gets much more than another, and a conversation stays where it began.
func onReplicas(t *testing.T, run *store.Run, workers, replicas int) {
	t.Helper()
	open, _ := cellRows(t, run, "open")
	closed, _ := cellRows(t, run, "closed")
	for _, rows := range [][]record.Record{open, closed} {
		of, homes, sum := map[[2]int32]int{}, map[int64]int32{}, map[int32]int{}
		for _, r := range rows {
			of[[2]int32{r.Rank, r.Replica}]++
			sum[r.Replica]++
			if home, known := homes[r.Conversation]; known && home != r.Replica {
				t.Errorf("conversation %d was on replica %d and goes on with %d", r.Conversation, home, r.Replica)
			}
			homes[r.Conversation] = r.Replica
		}
		if len(of) != workers*replicas || sum[0] != 0 {
			t.Errorf("requests by rank and replica, from 1: %v", of)
		}
		for replica, n := range sum {
			if n < len(rows)/replicas*3/4 {
				t.Errorf("replica %d, from 1, has %d of %d requests", replica, n, len(rows))
			}
		}
		t.Logf("%d requests by rank and replica, from 1: %v", len(rows), of)
	}
}

// TestGeneratorSSH: workers on two nodes together do what one process here does, and one of
// them killed is a mark.
func TestGeneratorSSH(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sshGenerator("", oneServer), "", sshtest.Options{Config: "Banner /etc/hostname"})
	const block = "generator {\n  nodes = [node.spark1, node.spark2]\n}"
	one, out, code := applyGenerator(t, t.TempDir(), nil, "one", "")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	two, out := c.load(t, "two", block, oneServer, 0)
	if !strings.Contains(out, "the load comes from 2 workers") {
		t.Errorf("%s", out)
	}
	sameAsOne(t, one, two, 2)
	c.clean(t)

	spread, _ := c.load(t, "spread", block, twoReplicas, 0)
	sameAsOne(t, one, spread, 2)
	onReplicas(t, spread, 2, 2)
	c.clean(t)

	killed := make(chan struct{})
	go func() {
		defer close(killed)
		killRank(t, c.dir, "killed", "SPARKRUN_NODE_SERVER=generator@worker1", syscall.SIGKILL)
	}()
	run, out := c.load(t, "killed", block, oneServer, 3, "--var", "seconds="+midRun)
	<-killed
	lostAndOn(t, run, out, 3, 2, "its process ended: ")
	c.clean(t)
}

// TestGeneratorLosesANode: a node of the workers that is gone for good is a mark on the cell
// that was measured, and the cells after it are skipped at once, as those of a server's are.
func TestGeneratorLosesANode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sshGenerator("", oneServer), "", sshtest.Options{SSH: impatient})
	killed := c.inMidRun("lost", c.nodes[1].Kill)
	run, out := c.load(t, "lost", "generator {\n  nodes = [node.spark1, node.spark2]\n}", oneServer, 3, "--var", "seconds="+midRun, "--var", "repeat=3")
	<-killed
	if !strings.Contains(out, "worker_lost") {
		t.Fatalf("no worker was lost in mid-run:\n%s", out)
	}
	_, open := cellRows(t, run, "open")
	if open[0].Verdict != result.Invalid || !slices.ContainsFunc(open[0].Marks, func(m result.Mark) bool { return m.Name == "worker_lost" }) {
		t.Errorf("%s, %+v", open[0].Verdict, open[0].Marks)
	}
	var summary result.Summary
	if err := run.ReadJSON("summary.json", &summary); err != nil {
		t.Fatal(err)
	}
	skipped := 0
	for _, e := range summary.Cells {
		if e.Benchmark != "closed" {
			continue
		}
		skipped++
		if e.Verdict != result.Skipped || !strings.HasPrefix(e.Cause, "HOST_UNREACHABLE: spark2 does not answer any more: ") {
			t.Errorf("%s: %s", e.Verdict, e.Cause)
		}
	}
	if n := strings.Count(out, "error: HOST_UNREACHABLE: spark2: its remaining cells are skipped: "); skipped != 3 || n != 1 {
		t.Errorf("%d cells skipped; it was tried %d times\n%s", skipped, n, out)
	}
	if want := "clean-up is incomplete: the generator's workers: on spark2: "; !strings.Contains(out, want) || !strings.Contains(out, "ends when it has heard nothing of the run for 30s") {
		t.Errorf("no %q in\n%s", want, out)
	}
	c.nothingLeft(t)
}

// TestDoctorOfLoadNodes: a node that load comes from is asked for what workers need, and not
// for what servers do.
func TestDoctorOfLoadNodes(t *testing.T) {
	t.Parallel()
	other := t.TempDir() // a machine of another kind, by what it says of itself
	if err := os.WriteFile(filepath.Join(other, "uname"), []byte("#!/bin/sh\n[ \"$1\" = -m ] && echo s390x || exec /bin/uname \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, sshGenerator("generator {\n  nodes = [node.spark1, node.spark2]\n}", "nodes = [node.spark2]"), "", sshtest.Options{Config: "SetEnv PATH=" + other + ":/usr/bin:/bin"})
	out, err := c.sparkrun(t, "", "doctor", "scenario.hcl")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, p := range []string{
		`(?m)^ok +spark1 +\S+: linux/s390x`, `note +spark1 workers +they are not this program.*sparkrun for linux/s390x with --worker-binary`, `spark1 disk`,
		`ok +spark2 workers +they are this program`, `ok +spark2 +its servers are reached at 127\.0\.0\.3`, `spark2 memory`,
	} {
		if !regexp.MustCompile(p).MatchString(out) {
			t.Errorf("no match for %s in\n%s", p, out)
		}
	}
	for _, p := range []string{"127.0.0.2", "spark1 memory", "spark1 GPU", "spark1 containers"} {
		if strings.Contains(out, p) {
			t.Errorf("there is %q in\n%s", p, out)
		}
	}
}
