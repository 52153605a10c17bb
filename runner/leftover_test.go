package runner

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// TestStrays: what carries the name of a folder that never was a run's is nobody's leftover.
func TestStrays(t *testing.T) {
	top := absolute(t.TempDir())
	dead, gone, other := filepath.Join(top, "dead"), filepath.Join(top, "gone"), filepath.Join(top, "other")
	for _, dir := range []string{dead, other} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(journalOf(dead), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var on OnNode
	for i, dir := range []string{other, gone, dead} {
		on.Processes = append(on.Processes, targets.Process{Pid: i + 1, Mark: targets.Mark{Run: dir, Server: "server.a"}})
	}
	strays, err := Found{on}.strays()
	if err != nil || len(strays) != 2 || strays[0].Dir != dead || strays[1].Dir != gone {
		t.Errorf("%+v, %v", strays, err)
	}
}

// TestKeptOnANodeThatIsNotAsked: a run without the node takes nothing of it for dead.
func TestKeptOnANodeThatIsNotAsked(t *testing.T) {
	dir := absolute(t.TempDir())
	j, err := journal.Open(journalOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []string{"local", "spark1"} {
		for _, what := range []journal.Type{journal.Create, journal.Keep} {
			if err := j.Append(journal.Line{Type: what, Kind: processKind, Name: "server." + on, Node: on, Mark: dir}); err != nil {
				t.Fatal(err)
			}
		}
	}
	j.Close()
	here := OnNode{Node: "local", Asked: true, Processes: []targets.Process{{Pid: 1, Mark: targets.Mark{Run: dir, Server: "server.local"}}}}
	for name, c := range map[string]struct {
		all  Found
		kept bool
	}{
		"not asked":       {Found{here}, true},
		"does not answer": {Found{here, {Node: "spark1"}}, true},
		"not there":       {Found{here, {Node: "spark1", Asked: true}}, false},
		"none of it":      {Found{{Node: "local", Asked: true}}, false},
	} {
		if m, err := Remaining(dir, c.all); err != nil || m.Kept != c.kept {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// processNode is a node whose processes are others each time they are asked for.
type processNode struct {
	targets.Node
	seen  [][]targets.Process
	ended []targets.Mark
}

func (n *processNode) Processes(context.Context) ([]targets.Process, error) {
	now := n.seen[0]
	n.seen = n.seen[min(1, len(n.seen)-1):]
	return now, nil
}

func (n *processNode) End(_ context.Context, m targets.Mark, _ targets.Process, _ time.Duration) ([]targets.Process, error) {
	n.ended = append(n.ended, m)
	return nil, nil
}

func (*processNode) Listener(context.Context, int) (*targets.Listener, error) { return nil, nil }

// TestSweepOfOneThatHasJustEnded: an `up` that starts its second server and ends while the
// processes are looked at has left both running on purpose; a dead run's are removed.
func TestSweepOfOneThatHasJustEnded(t *testing.T) {
	for last, ended := range map[journal.Type]int{journal.Keep: 0, journal.Created: 2} {
		dir := absolute(t.TempDir())
		j, err := journal.Open(journalOf(dir))
		if err != nil {
			t.Fatal(err)
		}
		var both []targets.Process
		for i, name := range []string{"server.a@replica0", "server.a@replica1"} {
			for _, what := range []journal.Type{journal.Create, journal.Created, last} {
				if err := j.Append(journal.Line{Type: what, Kind: processKind, Name: name, Node: "local", Mark: dir, Pid: i + 1}); err != nil {
					t.Fatal(err)
				}
			}
			both = append(both, targets.Process{Pid: i + 1, Mark: targets.Mark{Run: dir, Server: name}})
		}
		j.Close()
		node := &processNode{seen: [][]targets.Process{both[:1], both}}
		r := &run{dir: t.TempDir(), info: &result.Run{}, Config: Config{Plan: &plan.Plan{}, Control: NewControl(), Observe: func(e Event) {
			if ended == 0 || !strings.HasPrefix(e.Message, "removed what the dead run "+dir) {
				t.Errorf("%s: %s", last, e.Message)
			}
		}, Tools: Tools{Node: func(string) (targets.Node, error) { return node, nil }}}}
		r.sweep()
		if len(node.ended) != ended {
			t.Errorf("%s: %v were ended", last, node.ended)
		}
	}
}
