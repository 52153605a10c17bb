package runner

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sparkrun/targets"
)

// Whether the kernel has killed a server's program for want of memory. A program that is
// killed can't say why, and its exit status is that of any kill -9. The kernel counts its
// own kills where everybody may read it (oom_kill in /proc/vmstat), and names the process
// in its log, which not everybody may read. A container's engine says it itself, where it
// has seen it: podman has not always.
//
//	count rose lately   log readable   it names a process of ours   killed for memory
//	no                                                              no
//	yes                 yes            yes                          yes, whatever the program ended with
//	yes                 yes            no                           no: it was another's
//	yes                 no                                          yes if it ended by SIGKILL

const (
	// killedLately is how long before a program's end its kill may have been: a process with
	// a machine's whole memory takes seconds to give it back.
	killedLately = 30 * time.Second
	// familyEvery is how often it is asked which processes a program has become: an engine's
	// largest is a child, and one that is gone has no mark to be known by.
	familyEvery = 10 * time.Second
	askKernel   = 10 * time.Second
)

// kernelKills is the count of a node's kernel, and when it last rose.
type kernelKills struct {
	count uint64
	rose  time.Time
}

// see looks at a new count.
func (k *kernelKills) see(count uint64, now time.Time) {
	if count > k.count {
		k.rose = now
	}
	k.count = count
}

// seeKills notes the count of a node's kernel; its first is where it begins.
func (r *run) seeKills(host string, m targets.Memory) *kernelKills {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kills == nil {
		r.kills = map[string]*kernelKills{}
	}
	k := r.kills[host]
	if k == nil {
		k = &kernelKills{count: m.OOMKills}
		r.kills[host] = k
	}
	k.see(m.OOMKills, time.Now())
	return new(*k)
}

// seeFamily notes which processes the ranks of a node have become.
func (r *run) seeFamily(ctx context.Context, node targets.Node, ranks []*rank) {
	all, err := node.Processes(ctx)
	if err != nil {
		return // it is asked again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range ranks {
		for _, p := range all {
			if p.Mark == r.mark(k.name) && !slices.Contains(k.family, p.Pid) {
				k.family = append(k.family, p.Pid)
			}
		}
	}
}

// killedForMemory is the evidence that the kernel has killed a process of a rank that has
// ended for want of memory, "" for none.
func (r *run) killedForMemory(k *rank) string {
	err := k.proc.Err()
	if errors.Is(err, targets.ErrOutOfMemory) {
		return "the container's engine says so"
	}
	if err == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(r.Control.cleanup, askKernel)
	defer cancel()
	m, memErr := k.node.Memory(ctx)
	if memErr != nil || time.Since(r.seeKills(k.host, m).rose) > killedLately {
		return ""
	}
	r.mu.Lock()
	family := append([]int{k.proc.Pid()}, k.family...)
	r.mu.Unlock()
	if c, ok := k.proc.(interface{ NodePid() int }); ok {
		family = []int{c.NodePid()}
	}
	if victims := kernelLog(ctx, k.node); victims != nil {
		return ours(victims, family)
	}
	if errors.Is(err, targets.ErrKilled) {
		return "the kernel counted such a kill at that moment; its log, which would name the process, can't be read"
	}
	return ""
}

// victim is a process that the kernel has killed for want of memory.
type victim struct {
	pid  int
	line string
}

// killLine is what the kernel writes of a kill, whatever its limit: "Memory cgroup out of
// memory: Killed process 30675 (python3) total-vm:1364892kB, anon-rss:64896kB, …".
var killLine = regexp.MustCompile(`(?:Out of memory|Memory cgroup out of memory)[^\n]*?: Killed process (\d+) \([^\n]*?anon-rss:\d+kB`)

// victimsOf finds the kills in a log of the kernel, newest last.
func victimsOf(log string) []victim {
	var out []victim
	for _, m := range killLine.FindAllStringSubmatch(log, -1) {
		if pid, err := strconv.Atoi(m[1]); err == nil {
			out = append(out, victim{pid, m[0]})
		}
	}
	return out
}

// ours is the newest line that names a process of a family, "" for none.
func ours(victims []victim, family []int) string {
	for i := len(victims) - 1; i >= 0; i-- {
		if slices.Contains(family, victims[i].pid) {
			return "kernel log: " + victims[i].line
		}
	}
	return ""
}

// initialPids is the namespace whose pids the kernel's log has (PROC_PID_INIT_INO).
const initialPids = "pid:[4026531836]"

// kernelLog are the kills in the log of a node's kernel, nil where it can't be read or does
// not name processes as we know them: in a container with pids of its own.
func kernelLog(ctx context.Context, node targets.Node) []victim {
	in, err := node.Run(ctx, targets.Cmd{Argv: []string{"readlink", "/proc/self/ns/pid"}})
	if err != nil || strings.TrimSpace(string(in.Stdout)) != initialPids {
		return nil
	}
	for _, argv := range [][]string{
		{"dmesg"}, {"journalctl", "--dmesg", "--boot", "--quiet", "--no-pager", "--output=cat", "--lines=2000"},
	} {
		out, err := node.Run(ctx, targets.Cmd{Argv: argv})
		if err != nil || out.ExitCode != 0 {
			continue
		}
		// There was a kill, so a log without one is not the whole log.
		if victims := victimsOf(string(out.Stdout)); victims != nil {
			return victims
		}
	}
	return nil
}

// byKernel is the sentence of a kill with its evidence.
func byKernel(evidence string) string {
	return fmt.Sprintf("the kernel has killed it for want of memory (%s): give it less memory (memory_fraction, max_model_len), or raise the limit that it runs under", evidence)
}
