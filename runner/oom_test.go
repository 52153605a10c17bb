package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sparkrun/targets"
)

// deadProc is a program that has ended.
type deadProc struct {
	targets.Proc
	pid int
	err error
}

func (p deadProc) Pid() int   { return p.pid }
func (p deadProc) Err() error { return p.err }

// kernelNode is a node whose kernel has a count of kills and a log.
type kernelNode struct {
	targets.Node
	kills uint64
	pids  string // its namespace
	log   string // "": it can't be read
}

func (n kernelNode) Memory(context.Context) (targets.Memory, error) {
	return targets.Memory{OOMKills: n.kills}, nil
}

func (n kernelNode) Run(_ context.Context, c targets.Cmd) (targets.Output, error) {
	switch {
	case c.Argv[0] == "readlink":
		return targets.Output{Stdout: []byte(n.pids + "\n")}, nil
	case c.Argv[0] == "dmesg" && n.log != "":
		return targets.Output{Stdout: []byte(n.log)}, nil
	}
	return targets.Output{ExitCode: 1}, nil
}

// TestKilledForMemory is the table of oom.go.
func TestKilledForMemory(t *testing.T) {
	killed := fmt.Errorf("signal: %w", targets.ErrKilled)
	line := func(pid int) string {
		return fmt.Sprintf("[   12.1] Out of memory: Killed process %d (VLLM::EngineCor) total-vm:9kB, anon-rss:7kB, file-rss:0kB\n[   12.2] other\n", pid)
	}
	const other = "pid:[4026532000]"
	for name, c := range map[string]struct {
		err   error
		kills uint64
		pids  string
		log   string
		want  string
	}{
		"it is named":                    {killed, 3, initialPids, line(77), "kernel log: Out of memory: Killed process 77 (VLLM::EngineCor) total-vm:9kB, anon-rss:7kB"},
		"a child of it is named":         {errors.New("exit status 1"), 3, initialPids, line(78) + line(5), "Killed process 78"},
		"another's is named":             {killed, 3, initialPids, line(5), ""},
		"named long ago, no kill since":  {killed, 2, initialPids, line(77), ""},
		"the log can't be read":          {killed, 3, initialPids, "", "the kernel counted such a kill at that moment"},
		"the log was overwritten":        {killed, 3, initialPids, "[   13.0] eth0: link up\n", "the kernel counted such a kill at that moment"},
		"its pids are others":            {killed, 3, other, line(5), "the kernel counted such a kill at that moment"},
		"it ended by itself, no log":     {errors.New("exit status 1"), 3, initialPids, "", ""},
		"it ended well":                  {nil, 3, initialPids, line(77), ""},
		"the container's engine says so": {fmt.Errorf("exit status 137, %w", targets.ErrOutOfMemory), 2, other, "", "the container's engine says so"},
	} {
		r := &run{Config: Config{Control: NewControl()}}
		r.seeKills("spark1", targets.Memory{OOMKills: 2})
		k := &rank{host: "spark1", node: kernelNode{kills: c.kills, pids: c.pids, log: c.log}, proc: deadProc{pid: 77, err: c.err}, family: []int{78}}
		got := r.killedForMemory(k)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestExitStatusKilled: what shells and containers say of a kill is a kill.
func TestExitStatusKilled(t *testing.T) {
	for code, want := range map[int]bool{0: false, 1: false, 9: false, 137: true, 143: false} {
		if got := errors.Is(targets.ExitStatus(code), targets.ErrKilled); got != want {
			t.Errorf("%d: %v", code, got)
		}
	}
}
