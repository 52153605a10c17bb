package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sparkrun/runner/store"
	"sparkrun/targets/node/sshtest"
)

// ranksScenario has a server of two ranks, one of two replicas, and one of one on the
// first node, which goes on when the second is lost.
const ranksScenario = `
variable "life" {
  type    = string
  default = ""
}
variable "requests" {
  type    = number
  default = 20
}
variable "deadline" {
  type    = string
  default = "1m"
}

node "spark1" {
  host      = "spark1"
  fabric_ip = "127.0.0.2"
  interface = "lo"
}

node "spark2" {
  host      = "spark2"
  fabric_ip = "127.0.0.3"
  interface = "lo"
  env = {
    NCCL_DEBUG = "INFO"
  }
}

node "lab" {
  hostfile = "mpi_hosts"
}

server "pair" {
  framework = "command"
  nodes     = node.lab
  command   = ["RANKSERVER", "-rank", "{rank}", "-size", "{size}", "-meet", "{head}:{head_port}", "-host", "{host}", "-port", "{port}", "-life", var.life]
  ready {
    deadline = var.deadline
  }
  stop {
    grace = "200ms"
  }
}

server "dp2" {
  framework = "sim"
  nodes     = node.lab
  replicas  = 2
}

# TensorRT-LLM's launcher and server are scripts in BIN; mpirun, the agent and the nodes
# are real. mpirun takes 127.0.0.1 alone for its own machine.
node "head" {
  host      = "spark1"
  fabric_ip = "127.0.0.1"
}

server "trtllm" {
  nodes    = [node.head, node.spark2]
  model    = "m"
  parallel = { tensor = 2 }
  config   = { print_iter_log = false }
  env = {
    PATH                               = "BIN:PATHS"
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM     = "1"
    OMPI_MCA_orte_tmpdir_base          = "BIN"
  }
  stop {
    grace = "1s"
  }
}

server "good" {
  framework = "sim"
  nodes     = [node.spark1]
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  matrix {
    server = [server.pair, server.dp2, server.trtllm, server.good]
  }
  server  = matrix.server
  dataset = dataset.short
  order   = "file"

  phase "steady" {
    requests    = matrix.server == server.pair ? var.requests : 20
    concurrency = 4
  }
}

sink "json" {}
`

// What the launcher does: the first rank serves, the others wait for work.
const trtllmLauncher = `#!/bin/sh
echo "rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE on $NCCL_SOCKET_IFNAME, NCCL_DEBUG is $NCCL_DEBUG"
[ "$OMPI_COMM_WORLD_RANK" = 0 ] && exec "$@"
exec sleep 1000
`

const trtllmServe = `#!/bin/sh
echo "serves $1 with $6 $7 and $(cat "$9")"
exec BIN/faultserver -host "$3" -port "$5"
`

// TestRanksOnTwoNodes: a server of two ranks over two real sshds, and a replica on each.
func TestRanksOnTwoNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "", "x", sshtest.Options{SSH: impatient})
	program := filepath.Join(c.dir, "rankserver")
	target, err := os.Readlink(filepath.Join(c.dir, "faultserver"))
	if err == nil {
		err = os.Symlink(target, program)
	}
	words := strings.NewReplacer("RANKSERVER", program, "BIN", c.dir, "PATHS", os.Getenv("PATH"))
	for name, text := range map[string]string{
		"scenario.hcl": words.Replace(ranksScenario), "trtllm-llmapi-launch": trtllmLauncher, "trtllm-serve": words.Replace(trtllmServe), "mpi_hosts": "spark1 slots=1\nspark2 slots=1 # the other one\n",
	} {
		if err == nil {
			err = os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o755)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	const good = `(ok|suspect) +benchmark\.chat\[server=good\]#1 steady: 20 of 20`
	t.Run("all is well", func(t *testing.T) {
		c.apply(t, "well", 0, []string{`server=pair\]#1 steady: 20 of 20`, `server=dp2\]#1 steady: 20 of 20`}, "--skip", "server=good", "--skip", "server=trtllm")
		for file, want := range map[string]string{
			"server.pair@rank0.log": `rank 0 of 2 starts, NCCL_DEBUG is "", the interface "lo"`,
			"server.pair@rank1.log": `rank 1 of 2 starts, NCCL_DEBUG is "INFO", the interface "lo"`,
		} {
			if log := c.read(t, "well/logs", file); !strings.Contains(log, want) {
				t.Errorf("%s lacks %s:\n%s", file, want, log)
			}
		}
		journal := c.read(t, "well/journal.jsonl")
		for _, want := range []string{`"name":"server.pair@rank1".*"node":"spark2"`, `"name":"server.pair@rank0".*"node":"spark1"`, `"name":"server.dp2@replica1".*"node":"spark2"`} {
			if !regexp.MustCompile(want).MatchString(journal) {
				t.Errorf("the journal lacks %s", want)
			}
		}
		st, err := store.Open(filepath.Join(c.dir, "results/scenario/well"))
		if err != nil {
			t.Fatal(err)
		}
		records, _, err := st.ReadRows(2)
		to := map[int32]int{}
		for _, r := range records {
			to[r.Replica]++
		}
		if err != nil || len(to) != 2 || to[1]+to[2] != 20 {
			t.Errorf("requests by replica, from 1: %v, %v", to, err)
		}
		if left := c.left(t); len(left) > 0 {
			t.Errorf("%q", left)
		}
	})
	for _, bad := range []struct {
		life string
		want []string
		args []string
	}{
		{"never_joins", []string{`READY_TIMEOUT: wait for server\.pair at http://127\.0\.0\.2:\d+/v1: not ready after 10s`, `1/2 clients joined`, `server\.pair \(rank 1\) on spark2 is running; it said last: dialling 169\.254\.7\.7`}, []string{"--var", "deadline=10s"}},
		{"dies_early", []string{`LAUNCH_OUT_OF_MEMORY: .*server\.pair \(rank 1\) on spark2 ended \(exit status 1\) before it was ready: torch\.OutOfMemoryError`}, nil},
		{"dies_late", []string{`MEASURE_SERVER_DIED: server\.pair \(rank 1\) on spark2 ended \(exit status 4\) while it was measured: ValueError: the worker's own failure`, `server\.pair \(rank 0\) on spark1 is running`}, nil},
	} {
		t.Run(bad.life, func(t *testing.T) {
			c.apply(t, bad.life, 3, bad.want, append(bad.args, "--only", "server=pair", "--var", "life="+bad.life)...)
			if left := c.left(t); len(left) > 0 {
				t.Errorf("%q", left)
			}
		})
	}
	t.Run("mpirun through the agent", func(t *testing.T) {
		for _, needed := range []string{"mpirun", "python3", "ip"} {
			if _, err := exec.LookPath(needed); err != nil {
				t.Skip("no " + needed + " here")
			}
		}
		c.apply(t, "mpi", 0, []string{`server=trtllm\]#1 steady: 20 of 20`}, "--only", "server=trtllm")
		log := c.read(t, "mpi/logs/server.trtllm@rank0.log")
		for _, want := range []string{`\[1,0\]<stdout>: ?serves m with --tp_size 2 and print_iter_log: false`, `\[1,0\]<stdout>: ?rank 0 of 2 on lo, NCCL_DEBUG is \n`, `\[1,1\]<stdout>: ?rank 1 of 2 on lo, NCCL_DEBUG is INFO\n`} {
			if !regexp.MustCompile(want).MatchString(log) {
				t.Errorf("no match for %s in\n%s", want, log)
			}
		}
		if left := c.left(t); len(left) > 0 {
			t.Errorf("%q", left)
		}
	})
	t.Run("the worker's node is lost in mid-load", func(t *testing.T) {
		done := c.inMidRun("lost", c.nodes[1].Kill)
		c.apply(t, "lost", 3, []string{good, `HOST_UNREACHABLE: server\.pair \(rank 1\) on spark2 was lost while it was measured`, `HOST_UNREACHABLE: stop server\.pair \(rank 1\) on spark2: spark2 may still hold`},
			"--only", "server=pair", "--only", "server=good", "--var", "requests=1000000")
		<-done
		c.nodes[1].Up(t)
		if out, err := c.sparkrun(t, "", "down", "lost"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		c.nothingLeft(t)
	})
}
