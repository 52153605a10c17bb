package runner

import (
	"fmt"
	"slices"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// rank is one program of a server, on its node. A server is one of them, or on several
// nodes, or of several replicas, more.
type rank struct {
	name    string // in marks, journal and logs: the session's where the server is one program
	of      string // the server's address
	place   string // " on spark2", with its rank and replica where there are several; "" for one here
	host    string // the node's name
	replica int
	head    bool // it answers requests

	node targets.Node
	proc targets.Proc // nil: not running
	// containers is the node's engine where the rank is a container, image its digest.
	containers targets.Containers
	image      string
	port       int            // that it listens on for requests, 0 for none
	fabricPort int            // the first of those that the ranks have among themselves, 0 for none
	launch     targets.Launch // what is started
	log        logFile
	before     targets.Memory // of the node, before the launch
	family     []int          // pids of processes that it has become; guarded by the run's mu
	dir        string         // on the node, where its files are
	tunnel     *tunnel        // the way to it; nil for a direct one
	caches     string         // what became of the node's page cache before the start, where it was to be dropped
}

// ranksOf are the programs that a server will be, replica by replica.
func (r *run) ranksOf(s *plan.Server, session string) []*rank {
	var out []*rank
	for replica := range s.Count() {
		nodes := s.Group(replica)
		for i, host := range nodes {
			var id, words []string
			if s.Count() > 1 {
				id, words = append(id, fmt.Sprintf("replica%d", replica)), append(words, fmt.Sprintf("replica %d", replica))
			}
			if len(nodes) > 1 {
				id, words = append(id, fmt.Sprintf("rank%d", i)), append(words, fmt.Sprintf("rank %d", i))
			}
			k := &rank{name: session, of: s.Address, host: host, replica: replica, head: i == 0}
			if id != nil {
				k.name = session + "@" + strings.Join(id, ".")
				k.place = " (" + strings.Join(words, ", ") + ") on " + host
			} else if host != "local" {
				k.place = " on " + host
			}
			k.log = logFile{path: r.logPath(k.name)}
			out = append(out, k)
		}
	}
	return out
}

// String says which program it is: "server.vllm (rank 1) on spark2".
func (k *rank) String() string { return k.of + k.place }

// group are the ranks of a replica, its head first.
func (srv *server) group(replica int) []*rank {
	var out []*rank
	for _, k := range srv.ranks {
		if k.replica == replica {
			out = append(out, k)
		}
	}
	return out
}

// started are the ranks whose program has been started and not stopped again.
func (srv *server) started() []*rank {
	return slices.DeleteFunc(slices.Clone(srv.ranks), func(k *rank) bool { return k.proc == nil })
}

// launched reports whether a program of the server has been started and not stopped again.
func (srv *server) launched() bool { return len(srv.started()) > 0 }

// running reports whether the server was launched and all of its programs run.
func (srv *server) running() bool {
	return len(srv.ranks) > 0 && !slices.ContainsFunc(srv.ranks, func(k *rank) bool { return k.proc == nil || !running(k.proc) })
}

// others says what the other programs of the replica say, where one of them failed: half
// of a cluster complains of the other half, and both are needed to tell which was first.
func (srv *server) others(k *rank) string {
	var out strings.Builder
	for _, o := range srv.group(k.replica) {
		if o == k {
			continue
		}
		state := "is running"
		if o.proc == nil {
			state = "was not started"
		} else if !running(o.proc) {
			state = fmt.Sprintf("has ended (%v)", o.proc.Err())
		}
		fmt.Fprintf(&out, "\n  %s %s", o, state)
		if d := o.log.diagnose(); d.line != "" {
			fmt.Fprintf(&out, ": %s", d)
		} else if last := o.log.last(); last != "" {
			fmt.Fprintf(&out, "; it said last: %s", last)
		}
	}
	return out.String()
}

// said is what all programs of a replica have said, for one that is not ready in time.
func (srv *server) said(replica int) string {
	all := srv.group(replica)
	if len(all) == 1 {
		return all[0].log.died()
	}
	return all[0].String() + ": " + all[0].log.died() + srv.others(all[0])
}

// onNode are the processes among ranks that are on a node.
func onNode(ranks []*rank, host string) []*rank {
	var out []*rank
	for _, k := range ranks {
		if k.host == host && k.containers == nil {
			out = append(out, k)
		}
	}
	return out
}

// nodes are the ranks of a server that are the first on their nodes: one for each.
func (srv *server) nodes() []*rank {
	var out []*rank
	for _, k := range srv.ranks {
		if !slices.ContainsFunc(out, func(o *rank) bool { return o.host == k.host }) {
			out = append(out, k)
		}
	}
	return out
}
