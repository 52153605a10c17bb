package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sparkrun/runner/store"
	"sparkrun/targets/node/sshtest"
)

// sshGenerator is generatorScenario with its server on a node and workers on two.
func sshGenerator(generator string) string {
	nodes := "node \"spark1\" {\n  host = \"spark1\"\n}\nnode \"spark2\" {\n  host = \"spark2\"\n}\n"
	text := fmt.Sprintf(generatorScenario, nodes+generator)
	return strings.Replace(text, "framework = \"sim\"\n", "framework = \"sim\"\n  nodes     = [node.spark1]\n", 1)
}

// load runs the scenario with a generator block on the nodes.
func (c *cluster) load(t *testing.T, id, generator string, code int, args ...string) (*store.Run, string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "scenario.hcl"), []byte(sshGenerator(generator)), 0o644); err != nil {
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

// TestGeneratorSSH: workers on two nodes together do what one process here does, and one of
// them killed is a mark.
func TestGeneratorSSH(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sshGenerator(""), "", sshtest.Options{Config: "Banner /etc/hostname"})
	const block = "generator {\n  nodes = [node.spark1, node.spark2]\n}"
	one, out, code := applyGenerator(t, t.TempDir(), nil, "one", "")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	two, out := c.load(t, "two", block, 0)
	if !strings.Contains(out, "the load comes from 2 workers") {
		t.Errorf("%s", out)
	}
	sameAsOne(t, one, two, 2)
	c.clean(t)

	killed := make(chan struct{})
	go func() {
		defer close(killed)
		killRank(t, c.dir, "killed", "SPARKRUN_NODE_SERVER=generator@worker1", syscall.SIGKILL)
	}()
	run, out := c.load(t, "killed", block, 3, "--var", "seconds=3")
	<-killed
	lostAndOn(t, run, out, 3, 2, "its process ended: ")
	c.clean(t)
}
