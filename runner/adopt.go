package runner

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sparkrun/scenario/plan"
)

// adopt looks for a server that `up` or --keep-servers left running and that is the one
// that is wanted: the same block, whatever run it was started for. It is used as a server
// with a url is, and is not stopped.
func (r *run) adopt(ctx context.Context, srv *server) (bool, error) {
	s := srv.plan
	if r.restarts(s.Address) {
		return false, nil // what is not ours is not ours to stop
	}
	strays, err := Strays(ctx, r.reachable())
	if err != nil && len(nodeErrors(err)) == 0 { // a node of the server is asked again at its start
		return false, &Error{LaunchFailed, fmt.Errorf("look for a running %s: %w", s.Address, err)}
	}
	for _, m := range strays {
		if m.Dir == r.dir || m.Running || !m.Kept {
			continue
		}
		var urls []string
		for _, other := range m.Servers {
			if other.Line.Digest == s.Digest && other.Line.URL != "" {
				urls = append(urls, other.Line.URL)
			}
			if other.Line.Digest != s.Digest {
				r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%s of the run %s is running beside %s and takes its share of this machine: stop it with: sparkrun down %s", other.Line.Name, filepath.Base(m.Dir), s.Address, m.Dir)})
			}
		}
		if len(urls) == s.Count() {
			srv.adopted = true
			srv.attach(urls...)
			r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("%s is running already (%s, run %s): it is used and left running", s.Address, strings.Join(urls, ", "), filepath.Base(m.Dir))})
			return true, nil
		}
	}
	return false, nil
}

// restarts reports whether a cell of the plan wants the server started anew.
func (r *run) restarts(server string) bool {
	return slices.ContainsFunc(r.Plan.Cells, func(c plan.Cell) bool { return c.Server == server && c.Restart != "never" && c.Restart != "" })
}

// adoptable reports whether a server that fits is running, for the check before a start.
func (r *run) adoptable(ctx context.Context, s *plan.Server) bool {
	strays, err := Strays(ctx, r.reachable())
	if err != nil && len(nodeErrors(err)) == 0 || r.restarts(s.Address) {
		return false
	}
	for _, m := range strays {
		for _, other := range m.Servers {
			if m.Kept && !m.Running && m.Dir != r.dir && other.Line.Digest == s.Digest {
				return true
			}
		}
	}
	return false
}

// reachable are the tools without the nodes that do not answer any more.
func (r *run) reachable() Tools {
	t := r.Tools
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Nodes = slices.DeleteFunc(slices.Clone(t.Nodes), func(n string) bool { return r.lost[n] != nil })
	return t
}
