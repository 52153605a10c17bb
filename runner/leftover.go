package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/targets"
)

// leftoverGrace is how long what a dead run left may take to end by itself.
const leftoverGrace = 5 * time.Second

// Remains is what of a run may still be there.
type Remains struct {
	Dir     string // the run's folder
	Running bool   // the run is going on: nothing of it is a leftover
	Kept    bool   // all of it was left running on purpose
	Servers []Remain
}

// Remain is one server of a run that may still be there.
type Remain struct {
	Line       journal.Line // what the journal says of it
	Processes  []targets.Process
	Containers []targets.MarkedContainer
}

// Found is what carries a mark on a node.
type Found struct {
	Processes  []targets.Process
	Containers []targets.MarkedContainer
}

// find looks for what carries a mark on this machine, of any run.
func find(ctx context.Context, t Tools) (Found, error) {
	node, err := t.Node("local")
	if err != nil {
		return Found{}, err
	}
	processes, err := node.Processes(ctx)
	if err != nil {
		return Found{}, err
	}
	containers, err := containersOf(ctx, t)
	return Found{processes, containers}, err
}

// String names it and what there is of it.
func (m Remain) String() string {
	what := []string{}
	if len(m.Processes) > 0 {
		what = append(what, names(m.Processes))
	}
	for _, c := range m.Containers {
		what = append(what, "container "+c.Name)
	}
	if len(what) == 0 {
		return m.Line.Name
	}
	return m.Line.Name + ": " + strings.Join(what, ", ")
}

// Remaining is what may be left of the run in a folder. all is what carries a mark.
func Remaining(dir string, all Found) (Remains, error) {
	dir = absolute(dir)
	out := Remains{Dir: dir, Running: journal.Running(journalOf(dir)), Kept: true}
	lines, err := journal.Read(journalOf(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return out, err
	}
	for _, l := range journal.Leftover(lines) {
		out.Servers = append(out.Servers, Remain{Line: l})
	}
	for _, p := range all.Processes {
		if p.Mark.Run == dir {
			s := out.server(p.Mark.Server, processKind)
			s.Processes = append(s.Processes, p)
		}
	}
	for _, c := range all.Containers {
		if c.Mark.Run == dir {
			s := out.server(c.Mark.Server, containerKind)
			s.Containers = append(s.Containers, c)
		}
	}
	for _, s := range out.Servers {
		out.Kept = out.Kept && s.Line.Type == journal.Keep && s.alive()
	}
	return out, nil
}

// alive reports whether something of the server is running.
func (m Remain) alive() bool {
	return len(m.Processes) > 0 || slices.ContainsFunc(m.Containers, func(c targets.MarkedContainer) bool { return c.Running })
}

// server is the server of that name; one that the journal does not know is of a run whose
// folder is gone, or a child that outlived its stop.
func (m *Remains) server(name, kind string) *Remain {
	i := slices.IndexFunc(m.Servers, func(s Remain) bool { return s.Line.Name == name })
	if i < 0 {
		i = len(m.Servers)
		m.Servers = append(m.Servers, Remain{Line: journal.Line{Type: journal.Create, Kind: kind, Name: name, Node: "local", Mark: m.Dir}})
	}
	return &m.Servers[i]
}

// Strays are the runs that have something left on this machine, in the order of their
// folders, wherever those are.
func Strays(ctx context.Context, t Tools) ([]Remains, error) {
	all, err := find(ctx, t)
	if err != nil {
		return nil, err
	}
	dirs := map[string]bool{}
	for _, p := range all.Processes {
		dirs[p.Mark.Run] = true
	}
	for _, c := range all.Containers {
		dirs[c.Mark.Run] = true
	}
	var out []Remains
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		m, err := Remaining(dir, all)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// Remove ends what is left of a server and proves that it is gone.
func (m Remain) Remove(ctx context.Context, t Tools) error {
	what := fmt.Sprintf("remove what is left of %s", m.Line.Name)
	node, err := t.Node(m.Line.Node)
	if err != nil {
		return &Error{TeardownStillThere, fmt.Errorf("%s: %w", what, err)}
	}
	if err := m.removeContainers(ctx, t); err != nil {
		return err
	}
	leader := targets.Process{Pid: m.Line.Pid, Started: m.Line.Started}
	mark := targets.Mark{Run: m.Line.Mark, Server: m.Line.Name}
	if _, err := node.End(ctx, mark, leader, leftoverGrace); err != nil {
		return &Error{TeardownStillThere, fmt.Errorf("%s: %w", what, err)}
	}
	// Somebody else may have the port by now; a process of ours would have been ended.
	if l, err := node.Listener(ctx, m.Line.Port); err == nil && l != nil && l.Mark == mark {
		return fail(TeardownPortAnswers, "%s: port %d is still listened on by %s (pid %d)", what, m.Line.Port, l.Name, l.Pid)
	}
	return nil
}

// Down removes what a run that is not going on has left, kept servers too, and writes
// down that it is gone. It returns what it removed; the error names the rest.
func Down(ctx context.Context, t Tools, m Remains) ([]Remain, error) {
	var jour *journal.Journal
	if _, err := os.Stat(journalOf(m.Dir)); err == nil {
		if jour, err = openFree(ctx, m.Dir); err != nil {
			return nil, err
		}
		defer jour.Close()
		lines, err := journal.Read(journalOf(m.Dir))
		if err != nil {
			return nil, err
		}
		m.update(lines)
	}
	var removed []Remain
	var errs []error
	for _, s := range m.Servers {
		if err := s.Remove(ctx, t); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, s)
		if jour != nil && s.Line.Seq > 0 {
			errs = append(errs, jour.Append(journal.Line{Type: journal.Removed, Kind: s.Line.Kind, Name: s.Line.Name}))
		}
	}
	return removed, errors.Join(errs...)
}

// freeWait is how long a journal may be held by another process that removes leftovers.
const freeWait = 3 * time.Second

// openFree opens the journal of a run that is not going on.
func openFree(ctx context.Context, dir string) (*journal.Journal, error) {
	for deadline := time.Now().Add(freeWait); ; time.Sleep(readyPoll) {
		jour, err := journal.Open(journalOf(dir))
		switch {
		case !errors.Is(err, journal.ErrRunning):
			return jour, err
		case time.Now().After(deadline) || ctx.Err() != nil:
			return nil, fmt.Errorf("the run in %s is going on: end it with Ctrl-C, which stops its servers", dir)
		}
	}
}

// update takes the journal's latest word: another process may have removed something.
func (m *Remains) update(lines []journal.Line) {
	left := journal.Leftover(lines)
	m.Servers = slices.DeleteFunc(m.Servers, func(s Remain) bool {
		return s.Line.Seq > 0 && !slices.ContainsFunc(left, func(l journal.Line) bool { return l.Kind == s.Line.Kind && l.Name == s.Line.Name })
	})
}

// sweep removes what earlier tries of this run and other runs that have died left on this
// machine. What cannot be removed is a warning: the checks before each start decide.
func (r *run) sweep() {
	ctx := r.Control.soft
	warn := func(format string, args ...any) {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf(format, args...)})
	}
	own, err := r.ownRemains(ctx)
	if err != nil {
		warn("look for what an earlier try left: %v", err)
	}
	for _, s := range own.Servers {
		if err := s.Remove(ctx, r.Tools); err != nil {
			warn("%v", err)
			continue
		}
		r.log(journal.Line{Type: journal.Removed, Kind: s.Line.Kind, Name: s.Line.Name})
	}
	strays, err := Strays(ctx, r.Tools)
	if err != nil {
		warn("look for what dead runs left: %v", err)
	}
	for _, m := range strays {
		if m.Dir == r.dir || m.Running || m.Kept {
			continue
		}
		removed, err := Down(ctx, r.Tools, m)
		for _, s := range removed {
			warn("removed what the dead run %s left: %s", m.Dir, s)
		}
		if err != nil {
			warn("%v", err)
		}
	}
}

// ownRemains is what an earlier try of this run left.
func (r *run) ownRemains(ctx context.Context) (Remains, error) {
	all, err := find(ctx, r.Tools)
	if err != nil {
		return Remains{}, err
	}
	return Remaining(r.dir, all)
}

func journalOf(dir string) string { return filepath.Join(dir, "journal.jsonl") }

// absolute is the folder's path from the root, links resolved: the mark of everything in
// it.
func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return dir
}
