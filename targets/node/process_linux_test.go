package node

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sparkrun/targets"
)

// TestEndFindsWhatLeftTheGroup: by the mark, whatever group and session it has by now.
func TestEndFindsWhatLeftTheGroup(t *testing.T) {
	mark := targets.Mark{Run: t.TempDir(), Server: "server.a"}
	var o output
	p, err := Local{}.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", `setsid sh -c 'echo child $$; sleep 1000' & wait`}, Mark: mark, Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.Fields(o.wait(t, "\n"))[1])
	if err != nil {
		t.Fatal(err)
	}
	other := targets.Mark{Run: mark.Run, Server: "server.b"}
	if found, err := (Local{}).End(t.Context(), other, targets.Process{}, time.Second); len(found) > 0 || err != nil {
		t.Fatalf("another server's mark found %v, %v", found, err)
	}
	// A pid that has been given to another process since: it must not be ended.
	stale := targets.Process{Pid: p.Pid(), Started: p.Started() + 1}
	if found, err := (Local{}).End(t.Context(), other, stale, time.Second); len(found) > 0 || err != nil {
		t.Fatalf("a recycled pid found %v, %v", found, err)
	}
	found, err := (Local{}).End(t.Context(), mark, targets.Process{}, time.Second)
	if err != nil || len(found) < 2 {
		t.Fatalf("found %v, %v", found, err)
	}
	if alive(child) || alive(p.Pid()) {
		t.Error("one of them is still there")
	}
	if _, err := p.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}

// TestStopReturnsSurvivors: a child in a session of its own is ended and named.
func TestStopReturnsSurvivors(t *testing.T) {
	var o output
	p, err := Local{}.Start(t.Context(), targets.Cmd{Argv: []string{"sh", "-c", `setsid sh -c 'echo child $$; exec sleep 1000' & wait`}, Mark: targets.Mark{Run: t.TempDir(), Server: "s"}, Output: &o})
	if err != nil {
		t.Fatal(err)
	}
	child := strings.Fields(o.wait(t, "\n"))[1]
	survivors, err := p.Stop(t.Context(), 50*time.Millisecond)
	if err != nil || len(survivors) != 1 || strconv.Itoa(survivors[0].Pid) != child {
		t.Errorf("survivors %v, %v; want %s", survivors, err, child)
	}
}

func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	who, err := Local{}.Listener(t.Context(), port)
	if err != nil || who == nil || who.Pid != os.Getpid() {
		t.Errorf("%+v, %v; want this process", who, err)
	}
	l.Close()
	if who, err := (Local{}).Listener(t.Context(), port); who != nil || err != nil {
		t.Errorf("closed: %+v, %v", who, err)
	}
}

func TestParseStat(t *testing.T) {
	tail := " S 1 42 43 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 1"
	for line, want := range map[string]stat{
		"42 (VLLM::EngineCor)" + tail:                     {42, "VLLM::EngineCor", false, 43, 987654},
		"42 (a) b (c))" + tail:                            {42, "a) b (c)", false, 43, 987654},
		"42 (x)" + strings.Replace(tail, " S ", " Z ", 1): {42, "x", true, 43, 987654},
	} {
		if got, ok := parseStat([]byte(line)); !ok || got != want {
			t.Errorf("%q: %+v %v, want %+v", line, got, ok, want)
		}
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 1", "() S"} {
		if got, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q parses as %+v", bad, got)
		}
	}
}
