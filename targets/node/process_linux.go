package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sparkrun/targets"
)

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	return parseStat(b)
}

// started is when a process started, 0 if it is gone.
func started(pid int) uint64 {
	s, _ := readStat(pid)
	return s.started
}

// pids are the processes that there are.
func pids() []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(filepath.Base(n)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// markOf is the mark in a process's environment; none where it has none or we may not look.
func markOf(pid int) (m targets.Mark) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || !bytes.Contains(b, []byte(targets.MarkRun+"=")) {
		return m
	}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		switch k, v, _ := strings.Cut(string(v), "="); k {
		case targets.MarkRun:
			m.Run = v
		case targets.MarkServer:
			m.Server = v
		}
	}
	return m
}

// marked are the living processes with a mark.
func marked() []targets.Process {
	var out []targets.Process
	for _, pid := range pids() {
		m := markOf(pid)
		if m.Run == "" {
			continue
		}
		if s, ok := readStat(pid); ok && !s.zombie {
			out = append(out, targets.Process{Pid: pid, Started: s.started, Name: s.name, Mark: m})
		}
	}
	return out
}

// inSession are the living processes of the session that pid leads. An engine that
// writes its title over its environment has no mark to see, but keeps its session.
func inSession(leader int) []targets.Process {
	var out []targets.Process
	for _, pid := range pids() {
		if s, ok := readStat(pid); ok && !s.zombie && s.session == leader {
			out = append(out, targets.Process{Pid: pid, Started: s.started, Name: s.name})
		}
	}
	return out
}

const canFindProcesses = true

// listener finds who listens on a port of any address of this machine.
func listener(port int) (*targets.Listener, error) {
	var inode string
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // no IPv6
		}
		if inode = listenInode(string(b), port); inode != "" {
			break
		}
	}
	if inode == "" {
		return nil, nil
	}
	link := "socket:[" + inode + "]"
	for _, pid := range pids() {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			continue // gone, or not ours to look at
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())); err == nil && to == link {
				s, _ := readStat(pid)
				return &targets.Listener{Pid: pid, Name: s.name, Mark: markOf(pid)}, nil
			}
		}
	}
	return &targets.Listener{}, nil
}

// resident is the memory of all processes together.
func resident() uint64 {
	var sum uint64
	for _, pid := range pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			sum += n * uint64(os.Getpagesize())
		}
	}
	return sum
}
