package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// Found is what carries a mark, node by node.
type Found []OnNode

// OnNode is what carries a mark on a node.
type OnNode struct {
	Node       string
	Asked      bool // it has answered: what is not in here is not there
	Processes  []targets.Process
	Containers []targets.MarkedContainer
}

// Find looks for what carries a mark on this machine and the tools' nodes, of any run. The
// error is of the nodes that could not be asked; what was found on the others is returned.
func Find(ctx context.Context, t Tools) (Found, error) {
	names := append([]string{"local"}, t.Nodes...)
	found, errs := make(Found, len(names)), make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Go(func() { found[i], errs[i] = findOn(ctx, t, name) })
	}
	wait.Wait()
	return found, errors.Join(errs...)
}

func findOn(ctx context.Context, t Tools, name string) (OnNode, error) {
	out := OnNode{Node: name}
	node, err := t.Node(name)
	if err == nil {
		out.Processes, err = node.Processes(ctx)
	}
	if err == nil {
		out.Containers, err = containersOf(ctx, t, name)
	}
	out.Asked = err == nil
	return out, err
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
	for _, on := range all {
		for _, p := range on.Processes {
			if p.Mark.Run == dir {
				s := out.server(p.Mark.Server, processKind, on.Node)
				s.Processes = append(s.Processes, p)
			}
		}
		for _, c := range on.Containers {
			if c.Mark.Run == dir {
				s := out.server(c.Mark.Server, containerKind, on.Node)
				s.Containers = append(s.Containers, c)
			}
		}
	}
	for i := range out.Servers { // two nodes may be one machine
		s := &out.Servers[i]
		s.Processes = slices.Compact(slices.SortedFunc(slices.Values(s.Processes), func(a, b targets.Process) int { return cmp.Compare(a.Pid, b.Pid) }))
		s.Containers = slices.Compact(slices.SortedFunc(slices.Values(s.Containers), func(a, b targets.MarkedContainer) int { return cmp.Compare(a.ID, b.ID) }))
	}
	for _, s := range out.Servers { // one on a node that nobody asked may well be there
		out.Kept = out.Kept && s.Line.Type == journal.Keep && (s.alive() || !all.asked(s.Line.Node))
	}
	return out, nil
}

// asked reports whether a node has answered.
func (f Found) asked(node string) bool {
	return slices.ContainsFunc(f, func(on OnNode) bool { return on.Node == node && on.Asked })
}

// alive reports whether something of the server is running.
func (m Remain) alive() bool {
	return len(m.Processes) > 0 || slices.ContainsFunc(m.Containers, func(c targets.MarkedContainer) bool { return c.Running })
}

// server is the server of that name; one that the journal does not know is of a run whose
// folder is gone, or a child that outlived its stop.
func (m *Remains) server(name, kind, node string) *Remain {
	i := slices.IndexFunc(m.Servers, func(s Remain) bool { return s.Line.Name == name })
	if i < 0 {
		i = len(m.Servers)
		m.Servers = append(m.Servers, Remain{Line: journal.Line{Type: journal.Create, Kind: kind, Name: name, Node: node, Mark: m.Dir}})
	}
	return &m.Servers[i]
}

// Strays are the runs that have something left on this machine and the tools' nodes, in the
// order of their folders, wherever those are. The error is of the nodes that could not be
// asked.
func Strays(ctx context.Context, t Tools) ([]Remains, error) {
	all, unasked := Find(ctx, t)
	out, err := all.strays()
	return out, errors.Join(unasked, err)
}

func (f Found) strays() ([]Remains, error) {
	all, dirs := f, map[string]bool{}
	for _, on := range all {
		for _, p := range on.Processes {
			dirs[p.Mark.Run] = true
		}
		for _, c := range on.Containers {
			dirs[c.Mark.Run] = true
		}
	}
	var out []Remains
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if !ofRun(dir) {
			continue
		}
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
	if m.Line.Node != "local" {
		what += " on " + m.Line.Node
	}
	node, err := t.Node(m.Line.Node)
	if err != nil {
		return &Error{because(err, TeardownStillThere), fmt.Errorf("%s: %w", what, err)}
	}
	if err := m.removeContainers(ctx, t); err != nil {
		return err
	}
	leader := targets.Process{Pid: m.Line.Pid, Started: m.Line.Started}
	mark := targets.Mark{Run: m.Line.Mark, Server: m.Line.Name}
	if _, err := node.End(ctx, mark, leader, leftoverGrace); err != nil {
		return &Error{because(err, TeardownStillThere), fmt.Errorf("%s: %w", what, err)}
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
// machine and the plan's nodes. What cannot be removed is a warning: the checks before each start decide.
func (r *run) sweep() {
	ctx := r.Control.soft
	warn := func(format string, args ...any) {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf(format, args...)})
	}
	all, err := Find(ctx, r.Tools)
	if err != nil {
		r.lose(err)
		warn("look for what earlier runs left: %v", err)
	}
	own, err := Remaining(r.dir, all)
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
	strays, err := all.strays()
	if err != nil {
		warn("look for what dead runs left: %v", err)
	}
	strays = slices.DeleteFunc(strays, func(m Remains) bool { return m.Dir == r.dir || m.Running || m.Kept })
	if len(strays) > 0 {
		// One that has only just ended, as `up` does, had perhaps not started all of its servers.
		all, _ = Find(ctx, r.Tools)
	}
	for _, m := range strays {
		m, err := Remaining(m.Dir, all)
		if err != nil {
			warn("look for what the dead run %s left: %v", m.Dir, err)
		}
		if err != nil || m.Running || m.Kept {
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

// ofRun reports whether a marked folder is a run's, or was: a run's journal comes before all
// that carries its mark, so a folder that is there without one says nothing of whether what
// carries its name is wanted.
func ofRun(dir string) bool {
	_, err := os.Stat(journalOf(dir))
	_, gone := os.Stat(dir)
	return err == nil || gone != nil
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
