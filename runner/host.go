package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// lose notes the nodes that an error says do not answer: their remaining cells are skipped,
// instead of waiting for each anew.
func (r *run) lose(err error) {
	for _, e := range nodeErrors(err) {
		if !errors.Is(e, targets.ErrUnreachable) {
			continue
		}
		r.mu.Lock()
		_, known := r.lost[e.Node]
		if !known {
			r.lost[e.Node] = e
		}
		r.mu.Unlock()
		if !known {
			r.emit(Event{Type: EventLog, Level: "error", Message: fmt.Sprintf("%s: %s: its remaining cells are skipped: %v", HostUnreachable, e.Node, e)})
		}
	}
}

// nodeErrors are all errors of nodes in a tree of errors.
func nodeErrors(err error) []*targets.NodeError {
	switch e := err.(type) {
	case nil:
		return nil
	case *targets.NodeError:
		return []*targets.NodeError{e}
	case interface{ Unwrap() []error }:
		var all []*targets.NodeError
		for _, one := range e.Unwrap() {
			all = append(all, nodeErrors(one)...)
		}
		return all
	}
	return nodeErrors(errors.Unwrap(err))
}

// gone is an error if nothing more can be measured of the server: one of its nodes, or of
// those that its load comes from, does not answer any more.
func (r *run) gone(s *plan.Server) error {
	var needs []string
	if s.URL == "" {
		needs = s.Nodes
	}
	if g := r.Plan.Generator; g != nil && g.Launcher == "ssh" {
		needs = slices.Concat(needs, g.Nodes)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range needs {
		if err := r.lost[n]; err != nil {
			return fail(HostUnreachable, "%s does not answer any more: %v", n, err)
		}
	}
	if n := r.fleets.failures; n >= maxDeaths {
		return fail(LaunchGenerator, "the generator's workers could not be started %d times in a row: they are not started again", n)
	}
	return nil
}

// skip ends a cell that can't be measured for want of its node.
func (r *run) skip(c *plan.Cell, cause string) {
	r.endCell(&result.Cell{Plan: c, Server: r.server(c.Server), Entries: result.SkippedEntries(c, r.server(c.Server), cause)}, "skipped", cause)
}

// place finds out where a rank's files are on its node.
func (r *run) place(ctx context.Context, k *rank) error {
	k.dir = filepath.Join(r.dir, "servers", fileName(k.name))
	remote, ok := k.node.(targets.Remote)
	if !ok {
		return nil
	}
	folder, err := remote.Folder(ctx, r.dir)
	k.dir = folder + "/servers/" + fileName(k.name)
	return err
}

// program is the path of this program on a node, for the simulator: it is brought there.
func (r *run) program(ctx context.Context, k *rank, facts targets.Facts) (string, error) {
	remote, ok := k.node.(targets.Remote)
	if !ok {
		return r.Tools.Self, nil
	}
	if facts.OS != runtime.GOOS || facts.Arch != runtime.GOARCH {
		return "", fmt.Errorf("the simulator is this program, which is for %s/%s, and %s is %s/%s: run sparkrun on a machine of its kind, or start a server of your own there with framework = \"command\"", runtime.GOOS, runtime.GOARCH, k.host, facts.OS, facts.Arch)
	}
	return remote.PutProgram(ctx, r.Tools.Self)
}

// tunnels reports whether the node's servers are reached through its SSH connection.
func (r *run) tunnels(host string) bool { return targets.NodeOf(r.Plan.Nodes, host).Tunnelled }

// bootIDs are those of a server's nodes that are not this machine.
func (srv *server) bootIDs(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	for _, k := range srv.nodes() {
		if _, ok := k.node.(targets.Remote); !ok {
			continue
		}
		facts, err := k.node.Facts(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask %s when it was started: %w", k.host, err)
		}
		ids[k.host] = facts.BootID
	}
	return ids, nil
}

// markHosts marks what is to be said of a cell's nodes: the way to them, and that one was
// started anew meanwhile.
func (r *run) markHosts(srv *server, before map[string]string, entries []result.Entry) {
	mark := func(name, format string, args ...any) {
		for i := range entries {
			entries[i].Add(name, fmt.Sprintf(format, args...))
		}
	}
	for _, k := range srv.started() {
		if k.tunnel != nil {
			mark("tunnelled", "requests went through the SSH connection to %s (access = \"ssh_tunnel\")", k.host)
			break
		}
	}
	after, err := srv.bootIDs(r.Control.cleanup)
	r.lose(err)
	for host, id := range before {
		if now, ok := after[host]; ok && now != id {
			mark("rebooted", "%s was started anew while this was measured", host)
		}
	}
}

// dropLimit is how long the page cache may take to be dropped.
const dropLimit = 2 * time.Minute

// dropCaches empties the page cache of a node whose block asks for it. Where it can't be
// done that is recorded, and the server is started nevertheless.
func (r *run) dropCaches(ctx context.Context, k *rank) {
	asked := false
	for _, n := range r.Plan.Nodes {
		asked = asked || n.Name == k.host && n.Values.Bool("drop_caches")
	}
	if !asked {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	out, err := k.node.Run(ctx, targets.Cmd{Argv: []string{"sh", "-c", `sync; if [ "$(id -u)" = 0 ]; then echo 3 >/proc/sys/vm/drop_caches; else echo 3 | sudo -n /usr/bin/tee /proc/sys/vm/drop_caches >/dev/null; fi`}})
	if err == nil && out.ExitCode != 0 {
		err = errors.New(strings.TrimSpace(string(out.Stderr)))
	}
	if err != nil {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%s: the page cache was not dropped before its start: %v (allow it in sudoers: NOPASSWD: /usr/bin/tee /proc/sys/vm/drop_caches)", k, err)})
		k.caches = "not dropped: " + err.Error()
		return
	}
	r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("%s: the page cache was dropped before its start", k)})
	k.caches = "dropped"
}

// cleanLimit is how long the end of a run waits for a node to remove its folder.
const cleanLimit = 30 * time.Second

// cleanNodes removes the run's folders from the nodes that it has used and that answer.
func (r *run) cleanNodes() {
	ctx, cancel := context.WithTimeout(r.Control.cleanup, cleanLimit)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, name := range r.Tools.Nodes {
		r.mu.Lock()
		skip := r.lost[name] != nil || !r.used[name]
		r.mu.Unlock()
		if !skip {
			wait.Go(func() { r.cleanNode(ctx, name) })
		}
	}
}

func (r *run) cleanNode(ctx context.Context, name string) {
	node, err := r.Tools.Node(name)
	if remote, ok := node.(targets.Remote); ok && err == nil {
		err = remote.Clean(ctx, r.dir)
	}
	if err != nil {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("remove the run's folder: %v", err)})
	}
}
