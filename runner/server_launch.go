package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"sparkrun/runner/journal"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// processKind is the kind of a process's lines in the journal.
const processKind = "process"

// launch starts the server's program on its node.
func (r *run) launch(ctx context.Context, srv *server) error {
	s := srv.plan
	failed := func(err error) error {
		what := fmt.Sprintf("start %s on %s", s.Address, s.Nodes[0])
		if known := (*Error)(nil); errors.As(err, &known) {
			return &Error{known.Reason, fmt.Errorf("%s: %w", what, known.Err)}
		}
		return &Error{LaunchFailed, fmt.Errorf("%s: %w", what, err)}
	}
	var err error
	if srv.node, err = r.Tools.Node(s.Nodes[0]); err != nil {
		return failed(err)
	}
	srv.port = s.Port
	if srv.port == 0 {
		if srv.port, err = freePort(); err != nil {
			return failed(err)
		}
	} else if err := r.portFree(ctx, srv.node, s); err != nil {
		return err
	}
	if err := r.memoryFree(ctx, srv.node, s); err != nil {
		return err
	}
	facts, err := srv.node.Facts(ctx)
	if err != nil {
		return failed(err)
	}
	in := targets.LaunchInput{Self: r.Tools.Self, Port: srv.port, Keep: r.KeepServers, GPUs: facts.GPUs, Dir: filepath.Join(r.dir, "servers", fileName(srv.session))}
	launches, err := srv.framework.Launch(*s, in)
	if err != nil {
		return failed(err)
	}
	if len(launches) != 1 {
		return failed(fmt.Errorf("it needs %d processes, this version starts one", len(launches)))
	}
	srv.launched = launches[0]
	if m, err := srv.node.Memory(ctx); err == nil {
		if err := shareFree(facts, m, s, srv.launched.MemoryShare); err != nil {
			return err
		}
	}
	if image := launches[0].Image; image != "" {
		if err := r.image(ctx, srv, image); err != nil {
			return failed(err)
		}
	}
	if err := writeFiles(ctx, srv.node, in.Dir, launches[0].Files); err != nil {
		return failed(err)
	}
	if srv.before, err = srv.node.Memory(ctx); err != nil {
		return failed(err)
	}
	srv.log.begin()
	r.log(journal.Line{Type: journal.Create, Kind: srv.kind(), Name: srv.session, Address: s.Address, Node: s.Nodes[0], Mark: r.dir, Port: srv.port})
	if err := r.startProgram(ctx, srv, launches[0], in.Dir); err != nil {
		r.log(journal.Line{Type: journal.Removed, Kind: srv.kind(), Name: srv.session})
		return failed(err)
	}
	r.log(journal.Line{Type: journal.Created, Kind: srv.kind(), Name: srv.session, Image: srv.image, Pid: srv.proc.Pid(), Started: srv.proc.Started()})
	srv.endpoint.URL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(srv.port)) + "/v1"
	return nil
}

func (r *run) startProgram(ctx context.Context, srv *server, l targets.Launch, dir string) error {
	if l.Image != "" {
		return r.startContainer(ctx, srv, l, dir)
	}
	return r.startProcess(ctx, srv, l)
}

func (r *run) startProcess(ctx context.Context, srv *server, l targets.Launch) (err error) {
	env := map[string]schema.Text{}
	for k, v := range l.Env {
		env[k] = v
	}
	srv.proc, err = srv.node.Start(ctx, targets.Cmd{
		Argv: l.Argv, Name: l.Name, Env: env, Lifeline: l.Lifeline, Mark: r.mark(srv.session),
		Log: srv.log.path, Secrets: r.Plan.Secrets,
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

// freePort asks the system for a port that nobody has now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
