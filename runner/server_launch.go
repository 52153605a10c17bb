package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// processKind is the kind of a process's lines in the journal.
const processKind = "process"

// failedStart gives an error of a start its reason and says which program on which node.
func failedStart(what fmt.Stringer, err error) error {
	said := fmt.Sprintf("start %s", what)
	if known := (*Error)(nil); errors.As(err, &known) {
		return &Error{known.Reason, fmt.Errorf("%s: %w", said, known.Err)}
	}
	return &Error{because(err, LaunchFailed), fmt.Errorf("%s: %w", said, err)}
}

// launch starts the server's programs on their nodes: all that can fail without touching
// anything is done before the first of them starts.
func (r *run) launch(ctx context.Context, srv *server) error {
	s := srv.plan
	srv.ranks = r.ranksOf(s, srv.session)
	srv.endpoints = make([]targets.Endpoint, s.Count())
	if err := r.openNodes(ctx, srv); err != nil {
		return err
	}
	var launches [][]targets.Launch
	for replica := range s.Count() {
		all, err := r.plan(ctx, srv, replica)
		if err != nil {
			return err
		}
		launches = append(launches, all)
	}
	for replica, all := range launches {
		if err := r.prepare(ctx, srv.group(replica), all); err != nil {
			return err
		}
	}
	for _, k := range srv.nodes() {
		r.dropCaches(ctx, k)
	}
	for _, k := range srv.ranks {
		var err error
		if k.before, err = k.node.Memory(ctx); err != nil {
			return failedStart(k, err)
		}
		r.seeKills(k.host, k.before)
	}
	for replica, all := range launches {
		if err := r.startGroup(ctx, srv.group(replica), all); err != nil {
			return err
		}
	}
	return nil
}

// openNodes gets the ranks their nodes and checks that each has memory.
func (r *run) openNodes(ctx context.Context, srv *server) error {
	for _, k := range srv.ranks {
		var err error
		if k.node, err = r.Tools.Node(k.host); err != nil {
			return failedStart(k, err)
		}
		if err = r.place(ctx, k); err != nil {
			return failedStart(k, err)
		}
		r.mu.Lock()
		r.used[k.host] = true
		r.mu.Unlock()
	}
	for _, k := range srv.nodes() {
		if err := r.memoryFree(ctx, k.node, srv.plan, k.host); err != nil {
			return err
		}
	}
	return nil
}

// plan chooses the ports of a replica and asks its framework for the launches.
func (r *run) plan(ctx context.Context, srv *server, replica int) ([]targets.Launch, error) {
	s, ranks := srv.plan, srv.group(replica)
	head := ranks[0]
	head.port = s.Port
	var err error
	if head.port != 0 {
		err = r.portFree(ctx, head.node, s, head.host)
	} else if head.port, err = srv.freePorts(ctx, ranks[:1], 1); err != nil {
		err = failedStart(head, err)
	}
	if err != nil {
		return nil, err
	}
	in := targets.LaunchInput{
		Self: r.Tools.Self, Port: head.port, Keep: r.KeepServers, Nodes: targets.NodesOf(r.Plan.Nodes, s.Group(replica)),
		Token: schema.Secret(rand.Text()),
	}
	said := make([]targets.Facts, len(ranks))
	for i, k := range ranks {
		facts, err := k.node.Facts(ctx)
		if err != nil {
			return nil, failedStart(k, err)
		}
		said[i] = facts
		n := &in.Nodes[i]
		n.GPUs, n.RDMA, n.Dir = facts.GPUs, facts.RDMA, k.dir
		if s.Framework == "sim" {
			if in.Self, err = r.program(ctx, k, facts); err != nil {
				return nil, failedStart(k, err)
			}
		}
	}
	if len(ranks) > 1 {
		if err := findInterfaces(ctx, ranks, in.Nodes); err != nil {
			return nil, err
		}
		if in.FabricPort, err = srv.freePorts(ctx, ranks, len(ranks)); err != nil {
			return nil, failedStart(head, err)
		}
	}
	launches, err := srv.framework.Launch(*s, in)
	if err != nil {
		return nil, failedStart(head, err)
	}
	if len(launches) != len(ranks) {
		return nil, failedStart(head, fmt.Errorf("it comes to %d programs on %d nodes", len(launches), len(ranks)))
	}
	for i, k := range ranks {
		k.launch, k.fabricPort = launches[i], in.FabricPort
		if m, err := k.node.Memory(ctx); err == nil {
			if err := shareFree(said[i], m, s, k.host, k.launch.MemoryShare); err != nil {
				return nil, err
			}
		}
	}
	at, err := r.reach(head, in.Nodes[0])
	if err != nil {
		return nil, failedStart(head, err)
	}
	srv.endpoints[replica] = targets.Endpoint{
		URL:   "http://" + at + "/v1",
		Model: s.ServedName(), Key: s.APIKey, Headers: s.Headers,
	}
	return launches, nil
}

// reach is the address at which we reach a rank that will listen: the node's own, or a
// tunnel's to it.
func (r *run) reach(k *rank, n targets.RankNode) (string, error) {
	port := strconv.Itoa(k.port)
	remote, ok := k.node.(targets.Remote)
	switch {
	case !ok:
		return net.JoinHostPort(n.Listen(), port), nil
	case r.tunnels(k.host):
		var err error
		if k.tunnel, err = openTunnel(k.node, net.JoinHostPort("127.0.0.1", port)); err != nil {
			return "", err
		}
		return k.tunnel.address(), nil
	}
	host, err := remote.Address()
	return net.JoinHostPort(host, port), err
}

// prepare brings the images and files of a replica's ranks to their nodes.
func (r *run) prepare(ctx context.Context, ranks []*rank, launches []targets.Launch) error {
	for i, k := range ranks {
		l := launches[i]
		if l.Image != "" {
			if err := r.image(ctx, k, l.Image); err != nil {
				return failedStart(k, err)
			}
			if head := ranks[0]; k.image != head.image {
				return failedStart(k, fail(LaunchImage, "image %s is %s there, and %s on %s: pull it on both", l.Image, k.image, head.image, head.host))
			}
		}
		if err := writeFiles(ctx, k.node, k.dir, l.Files); err != nil {
			return failedStart(k, err)
		}
	}
	return nil
}

// listenWait is how long a worker may take to listen on the port that the head needs.
const listenWait = 5 * time.Minute

// startGroup starts the ranks of a replica: the workers, which wait for the head or listen
// for it, then the head, which does not wait for them.
func (r *run) startGroup(ctx context.Context, ranks []*rank, launches []targets.Launch) error {
	for i := 1; i < len(ranks); i++ {
		if err := r.startRank(ctx, ranks[i], launches[i]); err != nil {
			return err
		}
	}
	for i := 1; i < len(ranks); i++ {
		if port := launches[i].Listens; port != 0 {
			if err := listens(ctx, ranks[i], port); err != nil {
				return err
			}
		}
	}
	return r.startRank(ctx, ranks[0], launches[0])
}

// listens waits until a worker listens on a port.
func listens(ctx context.Context, k *rank, port int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, listenWait, fmt.Errorf("it does not listen on port %d after %s, which the head needs", port, listenWait))
	defer cancel()
	for {
		l, err := k.node.Listener(ctx, port)
		if err != nil {
			return failedStart(k, err)
		}
		if l != nil {
			return nil
		}
		select {
		case <-k.proc.Done():
			<-k.proc.Logged()
			return fail(LaunchExited, "start %s: its program ended (%v) before it listened on port %d: %s", k, k.proc.Err(), port, k.log.died())
		case <-ctx.Done():
			return failedStart(k, fmt.Errorf("%w: %s", context.Cause(ctx), k.log.died()))
		case <-time.After(readyPoll):
		}
	}
}

// startRank starts one program, written down before and after.
func (r *run) startRank(ctx context.Context, k *rank, l targets.Launch) error {
	k.log.begin()
	r.log(journal.Line{Type: journal.Create, Kind: k.kind(), Name: k.name, Address: k.of, Node: k.host, Mark: r.dir, Port: k.port, Caches: k.caches})
	if err := r.startProgram(ctx, k, l); err != nil {
		k.proc = nil // not a typed nil
		r.log(journal.Line{Type: journal.Removed, Kind: k.kind(), Name: k.name})
		return failedStart(k, err)
	}
	r.log(journal.Line{Type: journal.Created, Kind: k.kind(), Name: k.name, Image: k.image, Pid: k.proc.Pid(), Started: k.proc.Started()})
	return nil
}

func (r *run) startProgram(ctx context.Context, k *rank, l targets.Launch) error {
	if l.Image != "" {
		return r.startContainer(ctx, k, l)
	}
	return r.startProcess(ctx, k, l)
}

func (r *run) startProcess(ctx context.Context, k *rank, l targets.Launch) (err error) {
	env := map[string]schema.Text{}
	for name, v := range l.Env {
		env[name] = v
	}
	k.proc, err = k.node.Start(ctx, targets.Cmd{
		Argv: l.Argv, Name: l.Name, Env: env, Lifeline: l.Lifeline, Outlive: r.KeepServers, Mark: r.mark(k.name),
		Log: k.log.path, Secrets: r.Plan.Secrets,
	})
	return err
}

// writeFiles puts the files of a launch where its server finds them.
func writeFiles(ctx context.Context, node targets.Node, dir string, files []targets.File) error {
	for _, f := range files {
		if err := node.Put(ctx, filepath.Join(dir, f.Name), bytes.NewReader(f.Content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
