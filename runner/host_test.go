package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// remoteNode is a node over SSH that says what it is told to.
type remoteNode struct {
	memoryNode
	boot string
	err  error
	ran  *targets.Cmd
	out  targets.Output
}

func (n *remoteNode) Facts(context.Context) (targets.Facts, error) {
	return targets.Facts{BootID: n.boot, OS: "linux", Arch: "riscv64"}, n.err
}
func (n *remoteNode) Run(_ context.Context, c targets.Cmd) (targets.Output, error) {
	n.ran = &c
	return n.out, n.err
}
func (*remoteNode) Address() (string, error)                           { return "10.0.0.1", nil }
func (*remoteNode) Folder(context.Context, string) (string, error)     { return "/home/u/f", nil }
func (*remoteNode) PutProgram(context.Context, string) (string, error) { return "/bin/x", nil }
func (*remoteNode) Clean(context.Context, string) error                { return nil }

func remoteRun(node targets.Node) (*run, *server) {
	r := &run{lost: map[string]error{}, Config: Config{Control: NewControl(), Observe: func(Event) {}, Plan: &plan.Plan{}}, info: &result.Run{}}
	srv := &server{plan: &plan.Server{Address: "server.a", Nodes: []string{"spark1"}}}
	srv.ranks = []*rank{{of: "server.a", place: " on spark1", host: "spark1", node: node, proc: stuckProc{}}}
	return r, srv
}

// TestRebooted provokes the mark of a node that was started anew in a cell.
func TestRebooted(t *testing.T) {
	node := &remoteNode{boot: "one"}
	r, srv := remoteRun(node)
	before, err := srv.bootIDs(t.Context())
	if err != nil || before["spark1"] != "one" {
		t.Fatal(before, err)
	}
	judge := func() []result.Mark {
		entries := []result.Entry{{Verdict: result.OK}}
		r.markHosts(srv, before, entries)
		return entries[0].Marks
	}
	if marks := judge(); len(marks) > 0 {
		t.Errorf("%v", marks)
	}
	node.boot = "two"
	if marks := judge(); len(marks) != 1 || marks[0].Name != "rebooted" || !strings.Contains(marks[0].Why, "spark1") {
		t.Errorf("%v", marks)
	}
	// One that can't be asked is lost, not rebooted.
	node.err = &targets.NodeError{Node: "spark1", Err: fmt.Errorf("ask: %w", targets.ErrUnreachable)}
	if marks := judge(); len(marks) > 0 || r.gone(srv.plan) == nil {
		t.Errorf("%v, %v", marks, r.gone(srv.plan))
	}
	if err := r.gone(&plan.Server{Nodes: []string{"spark2"}}); err != nil {
		t.Errorf("another node: %v", err)
	}
}

// TestNodeErrors: they are found wherever they are in a tree of errors.
func TestNodeErrors(t *testing.T) {
	a, b := &targets.NodeError{Node: "a", Err: targets.ErrUnreachable}, &targets.NodeError{Node: "b", Err: targets.ErrLogin}
	err := errors.Join(errors.New("x"), fmt.Errorf("y: %w", &Error{HostUnreachable, fmt.Errorf("z: %w, %w", a, b)}))
	if got := nodeErrors(err); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("%v", got)
	}
	for cause, want := range map[error]Reason{targets.ErrUnreachable: HostUnreachable, targets.ErrHostKey: HostKey, targets.ErrLogin: HostLogin, targets.ErrDiskFull: HostDiskFull, targets.ErrNoEngine: LaunchFailed} {
		if got := because(fmt.Errorf("a: %w", cause), LaunchFailed); got != want {
			t.Errorf("%v: %s", cause, got)
		}
	}
}

// TestDropCaches: only where the node's block asks, without a question to anybody, and
// recorded either way.
func TestDropCaches(t *testing.T) {
	node := &remoteNode{}
	r, srv := remoteRun(node)
	k := srv.ranks[0]
	if r.dropCaches(t.Context(), k); node.ran != nil || k.caches != "" {
		t.Errorf("nobody asked: %v, %q", node.ran, k.caches)
	}
	r.Plan.Nodes = []plan.Node{{Name: "spark1", Values: schema.Values{"drop_caches": true}}}
	if r.dropCaches(t.Context(), k); node.ran == nil || k.caches != "dropped" || !strings.Contains(node.ran.Argv[2], "sudo -n") {
		t.Errorf("%v, %q", node.ran, k.caches)
	}
	node.out = targets.Output{ExitCode: 1, Stderr: []byte("sudo: a password is required\n")}
	if r.dropCaches(t.Context(), k); k.caches != "not dropped: sudo: a password is required" {
		t.Errorf("%q", k.caches)
	}
}

// TestSimulatorOnAnotherArchitecture: its program would not run there.
func TestSimulatorOnAnotherArchitecture(t *testing.T) {
	node := &remoteNode{}
	r, srv := remoteRun(node)
	facts, _ := node.Facts(t.Context())
	if _, err := r.program(t.Context(), srv.ranks[0], facts); err == nil || !strings.Contains(err.Error(), "spark1 is linux/riscv64") {
		t.Error(err)
	}
}

// TestWayTo: a port of a node that can't be connected to may be behind a firewall.
func TestWayTo(t *testing.T) {
	_, srv := remoteRun(&remoteNode{})
	refused := fmt.Errorf("get: %w", &net.OpError{Op: "dial", Err: errors.New("i/o timeout")})
	if got := srv.wayTo(0, refused); !strings.Contains(got, `access = "ssh_tunnel" in node spark1`) {
		t.Errorf("%q", got)
	}
	if got := srv.wayTo(0, errors.New("HTTP 503")); got != "" {
		t.Errorf("%q", got)
	}
	srv.ranks[0].tunnel = &tunnel{}
	if got := srv.wayTo(0, refused); got != "" {
		t.Errorf("%q", got)
	}
}
