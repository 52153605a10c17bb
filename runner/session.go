package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// server is the server of a session: launched by us, or attached to.
type server struct {
	plan      *plan.Server
	session   string
	framework targets.Framework

	// cells hold it shared while they measure; a start in their midst takes it alone.
	use       sync.RWMutex
	endpoints []targets.Endpoint  // one a replica
	ranks     []*rank             // its programs; none where it is not ours to start
	print     *result.Fingerprint // of what is running
	adopted   bool                // it was running already, left by an earlier run
	held      []io.Closer         // ports that it was given (see freePorts)

	mu     sync.Mutex // of what follows
	deaths int        // cells in a row in which it died
	last   *plan.Cell // that it was measured with, since its start
	resets resetState // of the call that empties its prefix cache
}

// maxDeaths is how many cells in a row a server may die in. The next ones fail at once:
// each start costs minutes, and one that has died twice will die again.
const maxDeaths = 2

// checkServer asks what can be asked before a session starts: that nobody else answers on
// the port we were told to use, and that there is memory.
func (r *run) checkServer(ctx context.Context, t *plan.Task) error {
	s := r.server(t.Subject)
	if s.URL != "" || r.adoptable(ctx, s) {
		return nil
	}
	checked := map[string]bool{}
	for i, name := range s.Nodes {
		if checked[name] {
			continue
		}
		checked[name] = true
		node, err := r.Tools.Node(name)
		if err != nil {
			return &Error{because(err, LaunchFailed), fmt.Errorf("start %s on %s: %w", s.Address, name, err)}
		}
		if s.Port != 0 && i == 0 {
			if err := r.portFree(ctx, node, s, name); err != nil {
				return err
			}
		}
		if err := r.memoryFree(ctx, node, s, name); err != nil {
			return err
		}
	}
	return nil
}

// portFree waits for nobody: a port that is taken now would be measured instead.
func (r *run) portFree(ctx context.Context, node targets.Node, s *plan.Server, host string) error {
	l, err := node.Listener(ctx, s.Port)
	switch {
	case err != nil:
		return &Error{because(err, LaunchFailed), fmt.Errorf("check %s: %w", s.Address, err)}
	case l == nil:
		return nil
	case l.Mark.Run != "":
		return fail(PreflightPortTaken, "check %s: port %d is taken by %s of the run %s (pid %d): stop it with: sparkrun down %s", s.Address, s.Port, l.Mark.Server, filepath.Base(l.Mark.Run), l.Pid, l.Mark.Run)
	case l.Pid != 0:
		if name := r.holder(ctx, host, l.Pid); name != "" {
			return fail(PreflightPortTaken, "check %s: port %d is taken by container %s (%s): stop it with: docker stop %s, or set another port", s.Address, s.Port, name, l.Name, name)
		}
		return fail(PreflightPortTaken, "check %s: port %d is taken by pid %d (%s): stop it, or set another port", s.Address, s.Port, l.Pid, l.Name)
	}
	return fail(PreflightPortTaken, "check %s: port %d is taken by another program: stop it, or set another port", s.Address, s.Port)
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
func (r *run) start(ctx context.Context, t *plan.Task) error {
	s := r.server(t.Subject)
	fw, ok := r.Tools.Framework(s.Framework)
	if !ok {
		return fail(LaunchFailed, "start %s: framework %q is unknown", s.Address, s.Framework)
	}
	srv := &server{plan: s, session: t.Session, framework: fw}
	// Known from here on, so that stop finds it whatever comes.
	r.mu.Lock()
	r.servers[t.Session] = srv
	r.mu.Unlock()
	if err := r.up(ctx, srv); err != nil {
		return err
	}
	r.confirm(srv)
	return nil
}

// up brings a server to where it generates.
func (r *run) up(ctx context.Context, srv *server) error {
	s := srv.plan
	srv.ranks = nil
	srv.attach(s.URL)
	if s.URL == "" {
		found, err := r.adopt(ctx, srv)
		if err == nil && !found {
			err = r.launch(ctx, srv)
		}
		if err != nil {
			return err
		}
	}
	model, err := r.ready(ctx, srv)
	if err != nil {
		return err
	}
	for i := range srv.endpoints {
		srv.endpoints[i].Model = model
	}
	srv.print = r.fingerprint(ctx, srv)
	return nil
}

// attach makes the endpoints of a server that is running at urls.
func (srv *server) attach(urls ...string) {
	s := srv.plan
	srv.endpoints = nil
	for _, url := range urls {
		srv.endpoints = append(srv.endpoints, targets.Endpoint{URL: url, Model: s.ServedName(), Key: s.APIKey, Headers: s.Headers})
	}
}

// acquire gives a cell its server, shared with the cells that load at the same time. One
// that has died is started again: a bad cell does not take the rest of its session along.
func (r *run) acquire(ctx context.Context, c *plan.Cell) (*server, error) {
	r.mu.Lock()
	srv := r.servers[c.Session]
	r.mu.Unlock()
	srv.use.RLock()
	if srv.theirs() || (srv.running() && r.renews(srv, c) == "") {
		srv.takenBy(c)
		return srv, nil
	}
	srv.use.RUnlock()
	srv.use.Lock() // once the others are done with it
	err := r.renew(ctx, srv, c)
	if err == nil {
		err = r.revive(ctx, srv)
	}
	srv.takenBy(c)
	srv.use.Unlock()
	if err != nil {
		return nil, err
	}
	srv.use.RLock()
	return srv, nil
}

// theirs reports whether the server is not ours to start and stop.
func (srv *server) theirs() bool { return srv.plan.URL != "" || srv.adopted }

// renews is why the server is to be started anew before the cell, "" if it is not.
func (r *run) renews(srv *server, c *plan.Cell) string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case srv.last == nil:
		return ""
	case plan.RestartsBefore(srv.last, c):
		return fmt.Sprintf("restart = %q", c.Restart)
	case r.needsFresh(srv, c):
		return "cache = \"cold\", and its prompts take no salt"
	}
	return ""
}

func (srv *server) takenBy(c *plan.Cell) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.last = c
}

// renew stops a server that is to be started anew before the cell.
func (r *run) renew(ctx context.Context, srv *server, c *plan.Cell) error {
	why := r.renews(srv, c)
	if srv.theirs() || !srv.launched() || why == "" {
		return nil
	}
	r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("%s is started anew (%s)", srv.plan.Address, why)})
	return r.down(r.Control.cleanup, srv)
}

// revive starts a dead server again.
func (r *run) revive(ctx context.Context, srv *server) error {
	if srv.theirs() || srv.running() {
		return nil
	}
	if n := srv.died(0); n >= maxDeaths {
		return fail(MeasureServerDied, "%s died in %d cells in a row: it is not started again", srv.plan.Address, n)
	}
	if srv.launched() {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%s has died: it is started again for the next cell", srv.plan.Address)})
	}
	if err := r.down(r.Control.cleanup, srv); err != nil {
		return err
	}
	if err := r.up(ctx, srv); err != nil {
		srv.died(maxDeaths) // a start that fails is not tried for every cell
		return errors.Join(err, r.down(r.Control.cleanup, srv))
	}
	return nil
}

// died counts further cells in which the server died, and returns how many they are.
func (srv *server) died(more int) int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.deaths += more
	return srv.deaths
}

// release gives a cell's server back and counts whether it has died meanwhile.
func (srv *server) release() {
	dead := srv.launched() && !srv.running()
	srv.use.RUnlock()
	if dead {
		srv.died(1)
		return
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.deaths = 0
}

func running(p targets.Proc) bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// stop ends a session's server and proves that it is gone.
func (r *run) stop(ctx context.Context, t *plan.Task) error {
	r.mu.Lock()
	srv := r.servers[t.Session]
	delete(r.servers, t.Session)
	r.mu.Unlock()
	if srv == nil {
		return nil // its start failed early
	}
	srv.use.Lock()
	defer srv.use.Unlock()
	if srv.running() && r.keeps(t.Session) {
		return r.keep(srv)
	}
	return r.down(ctx, srv)
}

// keeps reports whether a session's server is to be left running: asked for, and no later
// session needs its place.
func (r *run) keeps(session string) bool {
	if !r.KeepServers || r.Control.Interrupted() {
		return false
	}
	for _, other := range r.Plan.Sessions {
		for _, before := range other.After {
			if before == session {
				return false
			}
		}
	}
	return true
}

func (r *run) keep(srv *server) error {
	var urls []string
	for _, k := range srv.ranks {
		line := journal.Line{Type: journal.Keep, Kind: k.kind(), Name: k.name, Digest: srv.plan.Digest}
		if k.head {
			line.URL, line.Model = srv.endpoints[k.replica].URL, srv.endpoints[k.replica].Model
			urls = append(urls, line.URL)
		}
		r.log(line)
	}
	r.emit(Event{Type: EventServerKept, Address: srv.plan.Address, Message: fmt.Sprintf("%s (%s) is left running at %s; stop it with: sparkrun down %s", srv.plan.Address, srv.endpoints[0].Model, strings.Join(urls, ", "), r.Store.Dir)})
	return nil
}

func (r *run) logPath(session string) string {
	return r.Store.Path("logs", fileName(session)+".log")
}

// mark is what everything of a session carries.
func (r *run) mark(session string) targets.Mark {
	return targets.Mark{Run: r.dir, Server: session}
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

// readyTimes are how long a server may take to be ready, and how long without progress.
func (srv *server) readyTimes() (deadline, stall time.Duration) {
	if !srv.launched() {
		return attachDeadline, attachDeadline
	}
	return srv.plan.Ready.Deadline, srv.plan.Ready.Stall
}

// attachDeadline is for a server that is said to be running.
const attachDeadline = 10 * time.Second
