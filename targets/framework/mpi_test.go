package framework

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sparkrun/targets/node/sshtest"
)

// agents is what a test of the agent has: its program and where a worker waits.
type agents struct {
	program string
	port    string
	log     *lockedLog // of the worker
}

// lockedLog is written by a program while a test reads it.
type lockedLog struct {
	path string
	file *os.File
}

func (l *lockedLog) String() string {
	b, _ := os.ReadFile(l.path)
	return string(b)
}

// python skips where there is none: images of TensorRT-LLM have one.
func python(t *testing.T) {
	t.Helper()
	if err := exec.Command("python3", "-c", "import hmac, secrets").Run(); err != nil {
		t.Skip("no python3 here")
	}
}

func env(port, token string) []string {
	return append(os.Environ(), agentPort+"="+port, agentToken+"="+token, "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
}

// startWorker starts an agent that waits on 127.0.0.1.
func startWorker(t *testing.T) *agents {
	t.Helper()
	python(t)
	dir := t.TempDir()
	a := &agents{program: filepath.Join(dir, agentName), log: &lockedLog{path: filepath.Join(dir, "worker.log")}}
	if err := os.WriteFile(a.program, agentProgram, 0o644); err != nil {
		t.Fatal(err)
	}
	a.port = strconv.Itoa(sshtest.FreePort(t))
	var err error
	if a.log.file, err = os.Create(a.log.path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", a.program, "serve", "127.0.0.1")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env(a.port, "the token"), "WHERE=worker"), a.log.file, a.log.file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); a.log.file.Close() })
	a.waitFor(t, "waits for the head")
	return a
}

func (a *agents) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(a.log.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the worker never said %q:\n%s", text, a.log)
		}
	}
}

// call runs a command through the agent.
func (a *agents) call(ctx context.Context, token string, command ...string) (out, errs string, code int) {
	cmd := exec.CommandContext(ctx, "python3", append([]string{a.program, "127.0.0.1"}, command...)...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env(a.port, token), &stdout, &stderr
	_ = cmd.Run()
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// TestAgent: output, errors and exit status come back; the command has the worker's
// environment; who does not know the token runs nothing; a command ends with its caller.
func TestAgent(t *testing.T) {
	a := startWorker(t)
	out, errs, code := a.call(t.Context(), "the token", `echo "on the $WHERE"; echo bad >&2; exit 7`)
	if out != "on the worker\n" || errs != "bad\n" || code != 7 {
		t.Errorf("got %q, %q, exit status %d", out, errs, code)
	}
	big := `head -c 3000000 /dev/zero | tr '\0' x`
	if out, _, code := a.call(t.Context(), "the token", big); len(out) != 3000000 || code != 0 {
		t.Errorf("%d bytes of 3000000, exit status %d", len(out), code)
	}
	out, errs, code = a.call(t.Context(), "another", "touch", filepath.Join(filepath.Dir(a.program), "touched"))
	if _, err := os.Stat(filepath.Join(filepath.Dir(a.program), "touched")); err == nil || code != 255 || !strings.Contains(errs, "agent: run a command on 127.0.0.1") {
		t.Errorf("with a wrong token: %q, %q, exit status %d, file: %v", out, errs, code, err)
	}
	a.waitFor(t, "agent: refused 127.0.0.1")

	ctx, cancel := context.WithCancel(t.Context())
	pid := filepath.Join(filepath.Dir(a.program), "pid")
	gone := make(chan struct{})
	go func() {
		a.call(ctx, "the token", "trap '' TERM; echo $$ >"+pid+"; while :; do sleep 0.1; done")
		close(gone)
	}()
	var b []byte
	for deadline := time.Now().Add(patience); len(bytes.TrimSpace(b)) == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		b, _ = os.ReadFile(pid)
	}
	cancel() // the head is killed, and its command minds no SIGTERM
	<-gone
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if err := exec.Command("kill", "-0", strings.TrimSpace(string(b))).Run(); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("pid %s lives on without its head", b)
		}
	}
}

// TestMpirunThroughTheAgent: the ranks that mpirun starts on another node are started by
// its agent, and have that node's environment.
func TestMpirunThroughTheAgent(t *testing.T) {
	if _, err := exec.LookPath("mpirun"); err != nil {
		t.Skip("no mpirun here")
	}
	a := startWorker(t)
	// mpirun takes every address of this machine for its own: the other node has a name.
	shim := filepath.Join(filepath.Dir(a.program), "shim")
	if err := os.WriteFile(shim, fmt.Appendf(nil, "shift\nexec python3 %s 127.0.0.1 \"$@\"\n", a.program), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mpirun", "--allow-run-as-root", "-np", "2", "-H", "127.0.0.1:1,spark2:1",
		"--mca", "plm_rsh_agent", "sh "+shim, "--mca", "plm_rsh_no_tree_spawn", "1",
		"sh", "-c", `echo "rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE on the $WHERE, it's 'so' ; fine"`)
	cmd.Env = append(env(a.port, "the token"), "WHERE=head")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"rank 0 of 2 on the head, it's 'so' ; fine", "rank 1 of 2 on the worker, it's 'so' ; fine"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v, want %q in:\n%s\nthe worker said:\n%s", err, want, out, a.log)
		}
	}
}
