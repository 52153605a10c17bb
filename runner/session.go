package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// How long a server may take.
const (
	readyDeadline  = 30 * time.Minute // a launched one: model loads take minutes
	attachDeadline = 10 * time.Second // one that is said to be running
	readyPoll      = 100 * time.Millisecond
	stopGrace      = 10 * time.Second
)

// server is a started (or attached) server of a session.
type server struct {
	plan     *plan.Server
	endpoint targets.Endpoint
	proc     targets.Proc // nil: attached
	name     string       // in the journal
	port     int
	log      *os.File
	output   *Redactor // into log
	tail     *tail
}

// check asks what can be asked before a session starts: that nobody else answers on the
// port we were told to use.
func (r *run) check(ctx context.Context, t *plan.Task) error {
	s := r.server(t.Subject)
	if s.URL != "" || s.Port == 0 {
		return nil
	}
	if answers(ctx, s.Port) {
		return fail(PreflightPortTaken, "check %s: port %d is taken by another program: stop it, or set another port", s.Address, s.Port)
	}
	return nil
}

func (r *run) checkDataset(ctx context.Context, t *plan.Task) error {
	for i := range r.Plan.Datasets {
		if d := &r.Plan.Datasets[i]; d.Address == t.Subject {
			if err := r.Tools.CheckDataset(ctx, d); err != nil {
				return &Error{PreflightDataset, fmt.Errorf("open %s: %w", d.Address, err)}
			}
		}
	}
	return nil
}

// start launches or attaches to the server of a session and waits until it generates.
func (r *run) start(ctx context.Context, t *plan.Task) (err error) {
	s := r.server(t.Subject)
	fw, ok := r.Tools.Framework(s.Framework)
	if !ok {
		return fail(LaunchFailed, "start %s: framework %q is unknown", s.Address, s.Framework)
	}
	srv := &server{plan: s, tail: &tail{}}
	srv.endpoint = targets.Endpoint{URL: s.URL, Model: s.Model, Key: s.APIKey, Headers: s.Headers}
	deadline := attachDeadline
	if s.URL == "" {
		if err := r.launch(ctx, t, srv, fw); err != nil {
			return err
		}
		deadline = readyDeadline
	}
	// Known from here on, so that stop finds it whatever comes.
	r.mu.Lock()
	r.servers[t.Session] = srv
	r.mu.Unlock()

	model, err := r.ready(ctx, srv, fw, deadline)
	if err != nil {
		return err
	}
	srv.endpoint.Model = model
	return nil
}

// launch starts the server's program on its node.
func (r *run) launch(ctx context.Context, t *plan.Task, srv *server, fw targets.Framework) error {
	s := srv.plan
	srv.port = s.Port
	if srv.port == 0 {
		port, err := freePort()
		if err != nil {
			return &Error{LaunchFailed, fmt.Errorf("start %s: %w", s.Address, err)}
		}
		srv.port = port
	}
	launches, err := fw.Launch(*s, r.Tools.Self, srv.port)
	if err != nil {
		return &Error{LaunchFailed, fmt.Errorf("start %s: %w", s.Address, err)}
	}
	if len(launches) != 1 {
		return fail(LaunchFailed, "start %s: it needs %d processes, this version starts one", s.Address, len(launches))
	}
	l := launches[0]
	node, err := r.Tools.Node(s.Nodes[0])
	if err != nil {
		return &Error{LaunchFailed, fmt.Errorf("start %s: %w", s.Address, err)}
	}
	srv.log, err = os.OpenFile(r.Store.Path("logs", fileName(t.Session)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return &Error{LaunchFailed, fmt.Errorf("start %s: %w", s.Address, err)}
	}
	srv.name = r.info.ID + "/" + t.Session
	env := map[string]schema.Text{"SPARKRUN_RUN": schema.Plain(r.info.ID)}
	for k, v := range l.Env {
		env[k] = v
	}
	srv.output = Redact(srv.log, r.Plan.Secrets)
	r.log(journal.Line{Type: journal.Create, Kind: "process", Name: srv.name, Address: s.Address})
	srv.proc, err = node.Start(ctx, targets.Cmd{
		Argv: l.Argv, Name: l.Name, Env: env, Lifeline: l.Lifeline,
		Output: io.MultiWriter(srv.output, srv.tail),
	})
	if err != nil {
		srv.log.Close()
		r.log(journal.Line{Type: journal.Removed, Kind: "process", Name: srv.name})
		return &Error{LaunchFailed, fmt.Errorf("start %s on %s: %w", s.Address, s.Nodes[0], err)}
	}
	r.log(journal.Line{Type: journal.Created, Kind: "process", Name: srv.name, Pid: srv.proc.Pid()})
	srv.endpoint.URL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(srv.port)) + "/v1"
	return nil
}

// ready polls until the server has generated a token, its program ends, or time is up.
func (r *run) ready(ctx context.Context, srv *server, fw targets.Framework, within time.Duration) (model string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, errNotReady)
	defer cancel()
	var ended <-chan struct{}
	if srv.proc != nil {
		ended = srv.proc.Done()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		model, err = fw.Ready(ctx, client, srv.endpoint)
		if err == nil {
			return model, nil
		}
		what := fmt.Sprintf("wait for %s at %s", srv.plan.Address, srv.endpoint.URL)
		var refused *targets.Refused
		if errors.As(err, &refused) {
			return "", &Error{ReadyRefused, fmt.Errorf("%s: %w", what, err)}
		}
		select {
		case <-ended:
			return "", fail(LaunchExited, "%s: its program ended (%v) before it was ready; %s\n%s", what, srv.proc.Err(), "its last output:", srv.tail)
		case <-ctx.Done():
			switch {
			case errors.Is(context.Cause(ctx), errInterrupted):
				return "", errInterrupted
			case srv.proc == nil:
				return "", &Error{ReadyUnreachable, fmt.Errorf("%s: %w: is it running, and is the url right?", what, err)}
			}
			return "", fail(ReadyTimeout, "%s: not ready after %s: %v; its last output:\n%s", what, within, err, srv.tail)
		case <-tick.C:
		}
	}
}

var errNotReady = errors.New("not ready in time")

// stop ends a session's server and proves that it is gone.
func (r *run) stop(ctx context.Context, t *plan.Task) error {
	r.mu.Lock()
	srv := r.servers[t.Session]
	delete(r.servers, t.Session)
	r.mu.Unlock()
	if srv == nil || srv.proc == nil {
		return nil // its start failed early, or it is not ours
	}
	defer srv.log.Close()
	err := srv.proc.Stop(ctx, stopGrace)
	_ = srv.output.Flush()
	switch {
	case err != nil:
		err = &Error{TeardownStillThere, fmt.Errorf("stop %s: %w: end it yourself: kill -9 -- -%d", srv.plan.Address, err, srv.proc.Pid())}
	case answers(ctx, srv.port):
		err = fail(TeardownPortAnswers, "stop %s: its program is gone, but port %d still answers: a child of it may have survived", srv.plan.Address, srv.port)
	}
	if err != nil {
		r.mu.Lock()
		r.problems.cleanup = append(r.problems.cleanup, err.Error())
		r.mu.Unlock()
		return err
	}
	r.log(journal.Line{Type: journal.Removed, Kind: "process", Name: srv.name})
	return nil
}

// answers reports whether something listens on the port of this machine.
func answers(ctx context.Context, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	conn.Close()
	return true
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

// fileName makes an address a file's name.
func fileName(address string) string {
	return strings.Map(func(c rune) rune {
		if c == filepath.Separator || c == ':' || c == '~' {
			return '-'
		}
		return c
	}, address)
}

// tail keeps the last lines of a server's output for its error.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if n := len(t.buf) - tailSize; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(b), nil
}

// String is the kept output, each line indented.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return "  " + strings.ReplaceAll(strings.TrimSpace(string(t.buf)), "\n", "\n  ")
}
