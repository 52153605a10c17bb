package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sparkrun/cmd/internal/cli"
	"sparkrun/runner/journal"
	"sparkrun/targets/node/sshtest"
)

const longScenario = `
variable "cells" {
  type = number
}

node "spark1" {
  host = "spark1"
}

node "spark2" {
  host = "spark2"
}

server "a" {
  framework = "sim"
  nodes     = [node.spark1]
  options   = { ttft = "1ms", itl = "0s" }
}

server "b" {
  framework = "sim"
  nodes     = [node.spark2]
  options   = { ttft = "1ms", itl = "0s" }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  matrix {
    server = [server.a, server.b]
  }
  server  = matrix.server
  dataset = dataset.short
  repeat  = var.cells

  phase "steady" {
    requests    = 4
    concurrency = 2
  }
}

sink "json" {}
`

// usage is what a run takes at a moment.
type usage struct{ goroutines, files, connections, processes int }

// TestNothingGrows runs many cells over two nodes and looks after each at what the process
// and the nodes hold. LONG_CELLS=200 is what a night is like.
func TestNothingGrows(t *testing.T) {
	cells := 8
	if n, err := strconv.Atoi(os.Getenv("LONG_CELLS")); err == nil {
		cells = n
	}
	c := newCluster(t, longScenario, "", sshtest.Options{})
	self, err := exec.LookPath("sparkrun")
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var seen []usage
	var stderr bytes.Buffer
	code := cli.Run(&cli.Env{
		Args:   []string{"apply", filepath.Join(c.dir, "scenario.hcl"), "--out", filepath.Join(c.dir, "results"), "--run-id", "long", "--var", "cells=" + strconv.Itoa(cells/2)},
		Stdin:  strings.NewReader(""),
		Stdout: &stderr, Stderr: &stderr, Lookup: c.client.Lookup, Signals: make(chan os.Signal), Now: time.Now, Self: self, Exit: os.Exit,
		OnJournal: func(l journal.Line, written bool) {
			if l.Type != journal.Cell || !written {
				return
			}
			files, _ := os.ReadDir("/proc/self/fd")
			seen = append(seen, usage{runtime.NumGoroutine(), len(files), c.nodes[0].Sessions() + c.nodes[1].Sessions(), len(c.left(t))})
		},
		StdoutTerminal: func() int { return 0 }, StderrTerminal: func() int { return 0 },
	})
	if code != 0 || len(seen) != cells {
		t.Fatalf("exit code %d, %d cells\n%s", code, len(seen), stderr.String())
	}
	// The first cells of each node find out what there is; from then on it stays.
	for i := 4; i < len(seen); i++ {
		if now, first := seen[i], seen[3]; now.goroutines > first.goroutines+12 || now.files > first.files+8 || now.connections > first.connections+4 || now.processes > first.processes+6 {
			t.Fatalf("after %d cells %+v, after 4 cells %+v", i+1, now, first)
		}
	}
	t.Logf("after 4 cells %+v, after %d %+v", seen[3], cells, seen[len(seen)-1])
	c.nothingLeft(t)
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
		}
	}
	for _, n := range c.nodes {
		if n.Sessions() > 0 {
			t.Errorf("%s still has %d connections", n.Name, n.Sessions())
		}
	}
}
