package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come: a moment, but not where the machine is
// another's too.
const patience = 2 * time.Minute

// output is a buffer that a process writes and a test reads.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) wait(t *testing.T, text string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if s := o.String(); strings.Contains(s, text) {
			return s
		}
	}
	t.Fatalf("%q never came: %q", text, o.String())
	return ""
}

func TestRun(t *testing.T) {
	out, err := Local{}.Run(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", `echo "$A $0"; echo bad >&2; cat; exit 3`, "x"}, Env: map[string]schema.Text{"A": schema.Secret("v")}, Stdin: strings.NewReader("in")})
	if string(out.Stdout) != "v x\nin" || string(out.Stderr) != "bad\n" || out.ExitCode != 3 {
		t.Errorf("%q %q %d %v", out.Stdout, out.Stderr, out.ExitCode, err)
	}
	if _, err := (Local{}).Run(t.Context(), targets.Cmd{Argv: []string{"/no/such/program"}}); err == nil {
		t.Error("a program that is not there runs")
	}
}

// alive reports whether a process is there and no zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !strings.Contains(string(b), ") Z ")
}

// TestStopEndsTheGroup: a child that ignores SIGTERM ends too.
func TestStopEndsTheGroup(t *testing.T) {
	var o output
	p, err := Local{}.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", `trap "" TERM; sleep 1000 & echo child $!; wait; sleep 1000`}, Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	line := o.wait(t, "\n")
	child, err := strconv.Atoi(strings.Fields(line)[1])
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice: it is idempotent
		if _, err := p.Stop(context.Background(), 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-p.Done():
	default:
		t.Error("stopped and not done")
	}
	for deadline := time.Now().Add(patience); alive(child); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("child %d is still there", child)
		}
	}
}

func TestLifelineAndEnd(t *testing.T) {
	var o output
	p, err := Local{}.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "echo up; cat; echo closed"}, Lifeline: true, Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	o.wait(t, "up")
	select {
	case <-p.Done():
		t.Error("it ended although its standard input is open")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := p.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	p, err = Local{}.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", "exit 4"}, Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Err() == nil || !strings.Contains(p.Err().Error(), "4") {
		t.Errorf("it ended with 4, and Err is %v", p.Err())
	}
}

func TestPutAndFacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	if err := (Local{}).Put(t.Context(), path, strings.NewReader("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 1 {
		t.Errorf("%v %v", info, err)
	}
	f, err := Local{}.Facts(t.Context())
	if err != nil || f.Hostname == "" || f.Cores < 1 || f.OS == "" {
		t.Errorf("%+v %v", f, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Local{}).Run(ctx, targets.Cmd{Argv: []string{"sleep", "100"}}); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("a cancelled run: %v", err)
	}
}
