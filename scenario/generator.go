package scenario

import (
	"net/netip"
	"net/url"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

var generatorAttrs = []schema.Attr{
	atLoad(oneOf(bare("launcher", schema.String, "mpirun with a hostfile, ssh with nodes, else local", "What starts the workers: sparkrun itself on this machine (local) or on nodes (ssh), mpirun, or srun."), "local", "ssh", "mpirun", "srun")),
	atLoad(bare("nodes", schema.Object, "this machine; of mpirun and srun those of the hostfile or the allocation", "Nodes that workers run on, as in [node.spark1, node.spark2].")),
	atLoad(bare("per_node", schema.Int, "1; with a hostfile of mpirun as many as it has slots", "Workers on each node.")),
	atLoad(bare("hostfile", schema.Path, none, "Hosts of mpirun or srun, in their own format.")),
}

const (
	// mostWorkers bounds the workers of a node: beyond it somebody has mistyped.
	mostWorkers = 256
	// mostOverSSH is half of the sessions that a node has for us: each worker holds one.
	mostOverSSH = 32
)

// generator reads the generator block.
func (l *loader) generator() {
	all := l.blocks["generator"]
	if len(all) == 0 {
		return
	}
	b := all[0]
	for _, other := range all[1:] {
		l.errorf(other.DefRange(), "Block used twice", "There is one generator in a scenario; another one is at %s.", place(b.DefRange()))
	}
	before := len(l.diags)
	l.known(b.Body, blockType(topBlocks, "generator"), nil)
	v := l.attrs(b.Body, without(generatorAttrs, "nodes"), where{binding: schema.Load})
	g := &plan.Generator{Launcher: v.String("launcher"), PerNode: int(v.Int("per_node")), Hostfile: v.String("hostfile")}
	_, hasNodes := b.Body.Attributes["nodes"]
	if hasNodes {
		g.Nodes = l.nodesOf(b, where{binding: schema.Load})
	}
	if len(l.diags) > before {
		return
	}
	switch {
	case g.Launcher != "":
	case g.Hostfile != "":
		g.Launcher = "mpirun"
	case hasNodes && !slices.Equal(g.Nodes, []string{"local"}):
		g.Launcher = "ssh"
	default:
		g.Launcher = "local"
	}
	l.checkGenerator(b, g, v.Has("per_node"))
	if len(l.diags) > before {
		return
	}
	if g.Launcher == "local" {
		g.Nodes = []string{"local"}
	}
	if g.PerNode == 0 && !(g.Launcher == "mpirun" && (g.Hostfile != "" || len(g.Nodes) == 0)) {
		g.PerNode = 1
	}
	l.plan.Generator = g
}

// checkGenerator reports what the attributes say together that they can't.
func (l *loader) checkGenerator(b *hclsyntax.Block, g *plan.Generator, perNode bool) {
	at := func(attr string) hcl.Range {
		if a, ok := b.Body.Attributes[attr]; ok {
			return a.Expr.Range()
		}
		return b.DefRange()
	}
	by := map[string]string{
		"local": "local starts workers on this machine", "ssh": "ssh starts workers on nodes",
	}
	switch {
	case g.Hostfile != "" && by[g.Launcher] != "":
		l.errorf(at("hostfile"), "Attribute without a meaning", `%s: a hostfile is for launcher = "mpirun" or "srun".`, by[g.Launcher])
	case g.Hostfile != "" && len(g.Nodes) > 0:
		l.errorf(at("hostfile"), "Hosts given twice", "nodes and hostfile are both set: keep one.")
	case g.Launcher == "ssh" && len(g.Nodes) == 0:
		l.errorf(at("launcher"), "Attribute missing", `ssh starts workers on nodes: set nodes, as in [node.spark1].`)
	case g.Launcher == "local" && slices.ContainsFunc(g.Nodes, func(n string) bool { return n != "local" }):
		l.errorf(at("nodes"), "Attribute without a meaning", `local starts workers on this machine: leave nodes out, or set launcher = "ssh".`)
	case g.Launcher == "mpirun" && slices.Contains(g.Nodes, "local"), g.Launcher == "srun" && slices.Contains(g.Nodes, "local"):
		l.errorf(at("nodes"), "Wrong value", "%s knows machines by their names, and node.local has none: declare a node with a host.", g.Launcher)
	case g.Launcher == "ssh" && g.PerNode > mostOverSSH && g.PerNode <= mostWorkers:
		l.errorf(at("per_node"), "Wrong value", "per_node is %d: each worker of ssh holds a session of its node's sshd, and %d can be had.", g.PerNode, mostOverSSH)
	case perNode && (g.PerNode < 1 || g.PerNode > mostWorkers):
		l.errorf(at("per_node"), "Wrong value", "per_node is %d: it must be from 1 to %d.", g.PerNode, mostWorkers)
	}
}

// checkReach reports a server whose address means another machine to workers that are not on
// this one. Those of a hostfile or an allocation are not known here.
func (l *loader) checkReach(b *hclsyntax.Block, s *plan.Server) {
	far := l.farWorker()
	if far == "" || len(s.Nodes) == 0 {
		return
	}
	at := func(attr string) hcl.Range {
		if a, ok := b.Body.Attributes[attr]; ok {
			return a.Expr.Range()
		}
		return b.DefRange()
	}
	const summary = "Server that workers can't reach"
	if s.URL != "" {
		if u, err := url.Parse(s.URL); err == nil && loopback(u.Hostname()) {
			l.errorf(at("url"), summary, "The generator's workers on %s would look for %s on their own machine: write the address that they reach it at.", far, s.Address)
		}
		return
	}
	var heads []string // of its replicas
	for replica := range s.Count() {
		heads = append(heads, s.Group(replica)[0])
	}
	if slices.Contains(heads, "local") {
		l.errorf(at("nodes"), summary, "%s listens on this machine for itself, and workers on %s would send to it: put it on a node with a host, or leave the generator's nodes out.", s.Address, far)
	}
	for _, n := range l.plan.Nodes {
		if slices.Contains(heads, n.Name) && n.Values.String("access") == "ssh_tunnel" {
			l.errorf(at("nodes"), summary, "%s is reached through the SSH connection of this machine (access = \"ssh_tunnel\" of node.%s), and workers on %s would send to it: set access = \"direct\", or leave the generator's nodes out.", s.Address, n.Name, far)
			return
		}
	}
}

// farWorker is a node with workers that is another machine, "" for none.
func (l *loader) farWorker() string {
	if l.plan.Generator == nil {
		return ""
	}
	for _, name := range l.plan.Generator.Nodes {
		if name != "local" && !loopback(l.plan.Host(name)) {
			return name
		}
	}
	return ""
}

// loopback reports whether a host is always the machine that asks.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checkShared reports what a phase wants that several workers can't keep together. Which of
// the others may still begin a conversation, or how much all have in flight, none knows.
func (m *cellMaker) checkShared(b *hclsyntax.Block, p *plan.Phase) {
	if m.plan.Generator == nil {
		return
	}
	for attr, set := range map[string]bool{"early_stop": p.EarlyStop, "max_concurrency": p.MaxInFlight > 0, "replay": p.Replay} {
		if a, ok := b.Body.Attributes[attr]; ok && set {
			m.errorf(a.NameRange, "Attribute that workers can't share", "The load comes from the workers of a generator, and each knows of its own requests alone: %s of phase %q would mean something else. Leave it out, or the generator.", attr, p.Name)
		}
	}
}
