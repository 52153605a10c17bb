package framework

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// rayLaunches are those of two ranks on this machine.
func rayLaunches(t *testing.T) []targets.Launch {
	t.Helper()
	s := onSparks(server("vllm", "m x", schema.Values{"launcher": schema.Plain("ray"), "parallel": parallel("tensor", 2)}, schema.Values{"a": schema.Plain("b 'c' $HOME")}))
	l, err := vllm.launch(s, targets.LaunchInput{Port: 8000, FabricPort: 25000, Nodes: targets.NodesOf(sparks, s.Nodes)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// programs are stand-ins that note how they are called: in a folder that is the PATH, with
// the system's own after it where there is to be a ray.
func programs(t *testing.T, scripts map[string]string) (dir string, path string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, dir + ":/usr/bin:/bin"
}

func start(t *testing.T, l targets.Launch, dir, path string) (*exec.Cmd, func() string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(l.Argv[0], l.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{"PATH=" + path}, dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); log.Close() })
	return cmd, func() string { b, _ := os.ReadFile(log.Name()); return string(b) }
}

// patience is how long a test waits for what must come: a moment, but not where the machine is
// another's too.
const patience = 2 * time.Minute

func eventually(t *testing.T, said func() string, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(said(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never %q in:\n%s", want, said())
		}
	}
}

// TestRayHead: vLLM is started once all nodes have joined, with its arguments as they are.
func TestRayHead(t *testing.T) {
	dir, path := programs(t, map[string]string{
		"ray":     `echo "ray $*"`,
		"python3": `cat nodes 2>/dev/null`,
		"vllm":    `for a in "$@"; do echo "<$a>"; done`,
	})
	cmd, said := start(t, rayLaunches(t)[0], dir, path)
	eventually(t, said, "ray start --head --node-ip-address=10.20.0.11 --port=25000")
	for _, n := range []string{"1", "2"} {
		if strings.Contains(said(), "<serve>") {
			t.Fatalf("it serves before node %s has joined:\n%s", n, said())
		}
		if err := os.WriteFile(filepath.Join(dir, "nodes"), []byte(n+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		eventually(t, said, "ray: "+n+" of 2 nodes have joined")
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	if want := "<serve>\n<m x>\n<--host>\n<0.0.0.0>\n<--port>\n<8000>\n<--tensor-parallel-size>\n<2>\n<--distributed-executor-backend>\n<ray>\n<-a>\n<b 'c' $HOME>\n"; !strings.HasSuffix(said(), want) {
		t.Errorf("got\n%s\nwant\n%s", said(), want)
	}
}

// TestRayWorker: it waits for the head, joins it with its own address, and ends with it.
func TestRayWorker(t *testing.T) {
	dir, path := programs(t, map[string]string{
		"ray":     `echo "ray $*"; exit 7`,
		"python3": `echo "$3:$4" >asked; test -e head`,
	})
	cmd, said := start(t, rayLaunches(t)[1], dir, path)
	eventually(t, func() string { b, _ := os.ReadFile(filepath.Join(dir, "asked")); return string(b) }, "10.20.0.11:25000")
	if said() != "" {
		t.Errorf("it says something before there is a head: %s", said())
	}
	if err := os.WriteFile(filepath.Join(dir, "head"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 7 || said() != "ray start --block --address=10.20.0.11:25000 --node-ip-address=10.20.0.12 --disable-usage-stats\n" {
		t.Errorf("exit status %d:\n%s", cmd.ProcessState.ExitCode(), said())
	}
}

// TestNoRay: images of today lack it, and the error says what to do.
func TestNoRay(t *testing.T) {
	for _, l := range rayLaunches(t) {
		dir, _ := programs(t, map[string]string{"vllm": "echo served"})
		sh, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		l.Argv[0] = sh
		cmd, said := start(t, l, dir, dir)
		_ = cmd.Wait()
		if cmd.ProcessState.ExitCode() != 127 || !strings.HasPrefix(said(), "error: ray is not installed here: leave launcher out, or install it with setup") || strings.Contains(said(), "served") {
			t.Errorf("exit status %d:\n%s", cmd.ProcessState.ExitCode(), said())
		}
	}
}
