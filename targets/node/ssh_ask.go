package node

import (
	"context"
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"
	"time"

	"sparkrun/targets"
)

// basics are what of a node does not change while it is up.
type basics struct {
	home string
	page uint64 // bytes
}

// pairs reads lines of a name and a value, with a colon or a space between them.
func pairs(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, "model name") {
			k = "cpu"
			_, v, _ = strings.Cut(line, ":")
		}
		out[strings.TrimSuffix(k, ":")] = strings.TrimSpace(v)
	}
	return out
}

// kib reads "1234 kB".
func kib(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(s, "kB")), 10, 64)
	return n << 10
}

// architectures are Go's names for those of uname -m.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

// Facts asks the node what it is.
func (n *SSH) Facts(ctx context.Context) (targets.Facts, error) {
	said, err := n.ask(ctx, "ask what it is", ours("facts", nil))
	if err != nil {
		return targets.Facts{}, err
	}
	f, b := factsOf(said)
	if f.OS != "linux" || f.BootID == "" {
		return f, fmt.Errorf("ask what %s is: it says that it runs %s %s: a node that is reached over SSH needs Linux with /proc", n.opts.Name, f.OS, f.Kernel)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.basics = b
	return f, nil
}

// factsOf reads what facts.sh prints.
func factsOf(said string) (targets.Facts, basics) {
	v := pairs(said)
	f := targets.Facts{
		Hostname: v["hostname"], OS: strings.ToLower(v["os"]), Arch: v["arch"], Kernel: v["kernel"], BootID: v["boot"],
		CPU: v["cpu"], GPUs: v["gpus"] == "yes", RDMA: v["rdma"] == "yes", MemTotal: kib(v["MemTotal"]), MemFree: kib(v["MemAvailable"]),
	}
	if a, ok := architectures[f.Arch]; ok {
		f.Arch = a
	}
	f.Cores, _ = strconv.Atoi(v["cores"])
	gpus, _ := strconv.Atoi(v["gpu_count"])
	f.GPU, f.Driver = gpuName(v["gpu_model"], gpus), DriverVersion(v["driver"])
	page, _ := strconv.ParseUint(v["page"], 10, 64)
	return f, basics{home: v["home"], page: page}
}

// known are the node's basics.
func (n *SSH) known(ctx context.Context) (basics, error) {
	n.mu.Lock()
	b := n.basics
	n.mu.Unlock()
	if b.page != 0 {
		return b, nil
	}
	if _, err := n.Facts(ctx); err != nil {
		return b, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.basics, nil
}

// Home is the user's home folder on the node.
func (n *SSH) Home(ctx context.Context) (string, error) {
	b, err := n.known(ctx)
	if err == nil && !path.IsAbs(b.home) {
		err = fmt.Errorf("the user has no home folder on %s (HOME is %q)", n.opts.Name, b.home)
	}
	return b.home, err
}

// Folder is where a run's files are on the node: its own path means nothing there.
func (n *SSH) Folder(ctx context.Context, run string) (string, error) {
	home, err := n.Home(ctx)
	return path.Join(home, ".cache", "sparkrun", "run-"+hashOf(n.opts.Origin, run)), err
}

// EngineSocket is the socket of the container engine, Docker's or podman's, "" for
// none.
func (n *SSH) EngineSocket(ctx context.Context) (string, error) {
	said, err := n.ask(ctx, "look for its container engine", ours("engine", nil))
	return strings.TrimSuffix(said, "\n"), err
}

// Memory is the node's memory.
func (n *SSH) Memory(ctx context.Context) (targets.Memory, error) {
	b, err := n.known(ctx)
	if err != nil {
		return targets.Memory{}, err
	}
	said, err := n.ask(ctx, "ask for its memory", ours("memory", nil))
	if err != nil {
		return targets.Memory{}, err
	}
	v := pairs(said)
	pages, _ := strconv.ParseUint(v["resident"], 10, 64)
	kills, _ := strconv.ParseUint(v["oom_kill"], 10, 64)
	return targets.Memory{Total: kib(v["MemTotal"]), Available: kib(v["MemAvailable"]), Resident: pages * b.page, OOMKills: kills}, nil
}

// processesOf reads what describe in remote/lib.sh prints.
func processesOf(text string) []targets.Process {
	var out []targets.Process
	for part := range strings.SplitSeq(text, "\n\n") {
		line, env, _ := strings.Cut(strings.TrimLeft(part, "\n"), "\n")
		s, ok := parseStat([]byte(line))
		if !ok || s.zombie {
			continue
		}
		p := targets.Process{Pid: s.pid, Started: s.started, Name: s.name}
		for v := range strings.SplitSeq(env, "\n") {
			switch k, v, _ := strings.Cut(strings.ReplaceAll(v, "\x01", "\n"), "="); k {
			case nodeRun:
				p.Mark.Run = v
			case nodeServer:
				p.Mark.Server = v
			}
		}
		out = append(out, p)
	}
	return out
}

// Processes are the node's processes that carry a mark of this machine.
func (n *SSH) Processes(ctx context.Context) ([]targets.Process, error) {
	said, err := n.ask(ctx, "look for processes", ours("processes", map[string]string{"from": n.opts.Origin}))
	return processesOf(said), err
}

// Listener is who listens on a port of the node.
func (n *SSH) Listener(ctx context.Context, port int) (*targets.Listener, error) {
	what := "ask who listens on port " + strconv.Itoa(port)
	s := &script{}
	s.WriteString("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null\nexit 0\n")
	said, err := n.ask(ctx, what, s)
	if err != nil {
		return nil, err
	}
	inode := listenInode(said, port)
	if inode == "" {
		return nil, nil
	}
	if said, err = n.ask(ctx, what, ours("holder", map[string]string{"inode": inode})); err != nil {
		return nil, err
	}
	if found := processesOf(said); len(found) > 0 {
		return &targets.Listener{Pid: found[0].Pid, Name: found[0].Name, Mark: found[0].Mark}, nil
	}
	return &targets.Listener{}, nil // somebody else's
}

// End ends the processes that carry the mark, and those of the leader's session.
func (n *SSH) End(ctx context.Context, m targets.Mark, leader targets.Process, grace time.Duration) ([]targets.Process, error) {
	folder, err := n.processFolder(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("end the processes of %s: %w", m.Server, err)
	}
	found, _, err := n.end(ctx, n.hash(m), leader, 0, grace, folder)
	if err != nil {
		return found, fmt.Errorf("end the processes of %s: %w", m.Server, err)
	}
	return found, nil
}

// end ends the processes with the hash of a mark and those of the leader's session, which
// is session where the leader itself is gone. It returns all, and those that outlived the
// grace. folder is removed once they are gone.
func (n *SSH) end(ctx context.Context, hash string, leader targets.Process, session int, grace time.Duration, folder string) (found, outlived []targets.Process, err error) {
	limit := grace + killWait + callLimit
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: no answer within %s", targets.ErrUnreachable, limit))
	defer cancel()
	tenths := func(d time.Duration) string {
		return strconv.FormatInt(int64((d+99*time.Millisecond)/(100*time.Millisecond)), 10)
	}
	values := map[string]string{"mark": hash, "folder": folder, "grace": tenths(grace), "limit": tenths(killWait)}
	maps.Copy(values, map[string]string{"pid": strconv.Itoa(leader.Pid), "born": strconv.FormatUint(leader.Started, 10), "sid": strconv.Itoa(session)})
	out, err := n.again(ctx, ours("end", values))
	if err == nil && out.code != 0 {
		err = scriptError(out)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("on %s: %w", n.opts.Name, err)
	}
	all, rest, _ := strings.Cut(out.stdout.String(), "outlived\n")
	late, still, _ := strings.Cut(rest, "still\n")
	found, outlived = processesOf(all), processesOf(late)
	if left := processesOf(still); len(left) > 0 {
		return found, outlived, fmt.Errorf("pid %d (%s) is still there on %s %s after SIGKILL", left[0].Pid, left[0].Name, n.opts.Name, killWait)
	}
	return found, outlived, nil
}
