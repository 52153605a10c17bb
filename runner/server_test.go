package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// memoryNode is a node of which only the memory is known.
type memoryNode struct {
	targets.Node
	memory func() targets.Memory
}

func (n memoryNode) Memory(context.Context) (targets.Memory, error) { return n.memory(), nil }

func fixed(m targets.Memory) memoryNode {
	return memoryNode{memory: func() targets.Memory { return m }}
}

func reasonOf(t *testing.T, err error) Reason {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v has no reason", err)
	}
	return e.Reason
}

// TestMemoryBeforeLaunch provokes PREFLIGHT_MEMORY: what must be left is 3 GiB, or 1/32
// of a small machine.
func TestMemoryBeforeLaunch(t *testing.T) {
	s := &plan.Server{Address: "server.a", Nodes: []string{"local"}}
	for _, c := range []struct {
		total, available float64 // GiB
		ok               bool
	}{{128, 3.1, true}, {128, 2.9, false}, {16, 0.6, true}, {16, 0.4, false}, {0, 0, true}} {
		err := (&run{}).memoryFree(t.Context(), fixed(targets.Memory{Total: uint64(c.total * gib), Available: uint64(c.available * gib)}), s)
		if (err == nil) != c.ok {
			t.Errorf("%v of %v GiB: %v", c.available, c.total, err)
		}
		if err != nil && (reasonOf(t, err) != PreflightMemory || !strings.Contains(err.Error(), "must be left")) {
			t.Errorf("%v", err)
		}
	}
}

// TestShareOfUnifiedMemory: what vLLM asks of a machine whose memory is the GPU's too.
func TestShareOfUnifiedMemory(t *testing.T) {
	s := &plan.Server{Address: "server.a", Nodes: []string{"spark1"}}
	for name, c := range map[string]struct {
		gpu              string
		total, available float64 // GiB
		share            float64
		ok               bool
	}{
		"enough":              {"NVIDIA GB10", 120, 91, 0.75, true},
		"too little":          {"NVIDIA GB10", 120, 89, 0.75, false},
		"nothing asked":       {"NVIDIA GB10", 120, 10, 0, true},
		"memory of its own":   {"NVIDIA H100 80GB HBM3", 120, 10, 0.9, true},
		"nothing known of it": {"NVIDIA GB10", 0, 0, 0.9, true},
	} {
		err := shareFree(targets.Facts{GPU: c.gpu}, targets.Memory{Total: uint64(c.total * gib), Available: uint64(c.available * gib)}, s, c.share)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (reasonOf(t, err) != PreflightMemory || !strings.Contains(err.Error(), "memory_fraction 0.75 of the 120.0 GiB of spark1 is 90.0 GiB, and 89.0 GiB are available")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMemoryBack provokes TEARDOWN_MEMORY: what has not come back, less what others took.
func TestMemoryBack(t *testing.T) {
	before := targets.Memory{Total: 128 * gib, Available: 100 * gib, Resident: 10 * gib}
	srv := func(node targets.Node) *server {
		return &server{plan: &plan.Server{Address: "server.a", Nodes: []string{"spark1"}}, node: node, before: before}
	}
	for name, c := range map[string]struct {
		after targets.Memory
		ok    bool
	}{
		"all of it":    {targets.Memory{Available: 100 * gib, Resident: 10 * gib}, true},
		"within 2 GiB": {targets.Memory{Available: 98 * gib, Resident: 10 * gib}, true},
		"lost":         {targets.Memory{Available: 40 * gib, Resident: 9 * gib}, false},
		"others' now":  {targets.Memory{Available: 80 * gib, Resident: 30 * gib}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			err := (&run{}).memoryBack(t.Context(), srv(fixed(c.after)))
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && (reasonOf(t, err) != TeardownMemory || !strings.Contains(err.Error(), "60.0 GiB of the memory of spark1 have not come back in 1m0s")) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // it comes back after a while
		polls := 0
		node := memoryNode{memory: func() targets.Memory {
			if polls++; polls < 100 {
				return targets.Memory{Available: 40 * gib, Resident: 10 * gib}
			}
			return before
		}}
		if err := (&run{}).memoryBack(t.Context(), srv(node)); err != nil {
			t.Error(err)
		}
	})
}

// TestMemoryWatch provokes HOST_MEMORY_LOW: the server falls below the floor after a while.
func TestMemoryWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := uint64(10)
		node := memoryNode{memory: func() targets.Memory {
			left--
			return targets.Memory{Total: 128 * gib, Available: left * gib}
		}}
		err := (&run{}).watchMemory(t.Context(), &server{plan: &plan.Server{Address: "server.a", Nodes: []string{"spark1"}}, node: node})
		if reasonOf(t, err) != HostMemoryLow || !strings.Contains(err.Error(), "2.0 GiB of 128.0 GiB available") {
			t.Errorf("%v", err)
		}
	})
}

// TestLogGrowth: answers to our own questions are no progress.
func TestLogGrowth(t *testing.T) {
	l := logFile{path: filepath.Join(t.TempDir(), "a.log")}
	say := func(text string) {
		f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	if l.grown() {
		t.Error("a log that is not there has grown")
	}
	say("from an earlier start\n")
	l.begin()
	for _, c := range []struct {
		text string
		want bool
	}{
		{"", false}, {"Loading\n", true}, {"", false},
		{"INFO: 127.0.0.1:1 - \"GET /v1/models HTTP/1.1\" 503\n", false},
		{"half a li", false}, {"ne\n", true},
	} {
		say(c.text)
		if got := l.grown(); got != c.want {
			t.Errorf("after %q: grown is %v", c.text, got)
		}
	}
	if got := l.tail(); strings.Contains(got, "earlier") || !strings.Contains(got, "  half a line") {
		t.Errorf("tail %q", got)
	}
}

// stuckProc is a program whose stop ends as err says.
type stuckProc struct {
	targets.Proc
	err error
}

func (p stuckProc) Stop(context.Context, time.Duration) ([]targets.Process, error) { return nil, p.err }
func (stuckProc) Pid() int                                                         { return 4711 }

// portNode is a node on which somebody listens.
type portNode struct {
	memoryNode
	listener *targets.Listener
}

func (n portNode) Listener(context.Context, int) (*targets.Listener, error) { return n.listener, nil }

// TestStopIsVerified provokes TEARDOWN_STILL_THERE and TEARDOWN_PORT_ANSWERS.
func TestStopIsVerified(t *testing.T) {
	for name, c := range map[string]struct {
		proc     stuckProc
		listener *targets.Listener
		want     Reason
		message  string
	}{
		"it does not die": {proc: stuckProc{err: errors.New("pid 4711 is still there")}, want: TeardownStillThere, message: "kill -9 -- -4711"},
		"its port":        {listener: &targets.Listener{Pid: 12, Name: "VLLM::EngineCor"}, want: TeardownPortAnswers, message: "listened on by VLLM::EngineCor (pid 12)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := &server{plan: &plan.Server{Address: "server.a", Nodes: []string{"local"}}, proc: c.proc, node: portNode{fixed(targets.Memory{}), c.listener}}
			err := (&run{}).endServer(t.Context(), srv)
			if err == nil || reasonOf(t, err) != c.want || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestFailureOfTheSource provokes MEASURE_SOURCE, and says what comes before it.
func TestFailureOfTheSource(t *testing.T) {
	r, c := &run{}, &plan.Cell{Name: "benchmark.b#1"}
	err := r.failure(t.Context(), c, errors.New("row 7 is broken"), nil, load.Outcome{}, nil)
	if reasonOf(t, err) != MeasureSource || !strings.Contains(err.Error(), "run benchmark.b#1: row 7 is broken") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fail(MeasureServerDied, "it ended"))
	if err := r.failure(ctx, c, errors.New("row 7 is broken"), nil, load.Outcome{}, nil); reasonOf(t, err) != MeasureServerDied {
		t.Errorf("the end of the server explains the rest, got %v", err)
	}
}
