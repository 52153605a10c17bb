package framework

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// member is one rank of a server, alone or in a group of several.
type member struct {
	server plan.Server
	in     targets.LaunchInput
	rank   int
	ips    []string // the ranks' addresses for each other, by rank
}

// groupPart is what a rank of several has beyond the engine's own command line.
type groupPart struct {
	before  []string // argv that runs the engine's
	args    []string // further arguments of the engine
	instead []string // argv in place of the engine's
	env     map[string]string
	files   []targets.File
	listens int // port that must be listened on before the head is started
}

// members are the ranks of a server.
func members(s plan.Server, in targets.LaunchInput) ([]member, error) {
	var ips []string
	for rank := range in.Ranks() {
		ip := in.Node(rank).FabricIP
		if ip == "" && oneMachine(in) {
			ip = "127.0.0.1"
		}
		if ip == "" {
			return nil, fmt.Errorf("node %s has no fabric_ip, which the other ranks need: set it to its address on the network between the nodes", in.Node(rank).Name)
		}
		ips = append(ips, ip)
	}
	var out []member
	for rank := range in.Ranks() {
		out = append(out, member{s, in, rank, ips})
	}
	return out, nil
}

// oneMachine reports whether all ranks are on the same node.
func oneMachine(in targets.LaunchInput) bool {
	return !slices.ContainsFunc(in.Nodes, func(n targets.RankNode) bool { return n.Name != in.Nodes[0].Name })
}

// base is what the Launch of every rank has. The server's env goes before the node's, and
// that before what is derived from the node's fabric.
func (m member) base(part groupPart) targets.Launch {
	node := m.in.Node(m.rank)
	l := targets.Launch{Image: m.server.Values.String("image"), Env: map[string]schema.Text{}, Files: part.files, Listens: part.listens}
	if m.rank == 0 {
		l.Port = m.in.Port
	}
	if n := m.in.Ranks(); n > 1 {
		l.Role = targets.RoleWorker
		if m.rank == 0 {
			l.Role = targets.RoleHead
		}
		for _, derived := range []map[string]string{fabric(node), part.env} {
			for name, value := range derived {
				l.Env[name] = schema.Plain(value)
			}
		}
	}
	maps.Copy(l.Env, node.Env)
	env, _ := m.server.Values["env"].(map[string]schema.Text)
	maps.Copy(l.Env, env)
	if l.Image != "" {
		l.Container = container(m.server, node, m.in.Ranks())
	}
	return l
}

// fabric is the environment by which NCCL, Gloo, TensorPipe, UCX and Open MPI take a
// node's fabric, and not the first network that they find; nothing where the scenario
// does not name the interface.
func fabric(n targets.RankNode) map[string]string {
	if n.Interface == "" {
		return nil
	}
	env := map[string]string{}
	for _, name := range []string{"NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "UCX_NET_DEVICES", "OMPI_MCA_btl_tcp_if_include", "OMPI_MCA_oob_tcp_if_include"} {
		env[name] = n.Interface
	}
	if hcas := rdmaNames(n.Interface); hcas != "" && n.RDMA {
		env["NCCL_IB_HCA"] = hcas
	}
	return env
}

// rdmaNames are the RDMA devices of interfaces, "" where one of them has no name by its
// place on the bus. Both names are made of that place: enP2p1s0f1np1 is roceP2p1s0f1
// (rdma-core's rdma_rename, systemd's net naming scheme; so on a DGX Spark).
func rdmaNames(interfaces string) string {
	var out []string
	for name := range strings.SplitSeq(interfaces, ",") {
		place, is := strings.CutPrefix(name, "en")
		port := strings.LastIndex(place, "np")
		if !is || port < 0 || !strings.HasPrefix(strings.ToLower(place), "p") || strings.Trim(place[port+2:], "0123456789") != "" {
			return ""
		}
		out = append(out, "roce"+place[:port])
	}
	return strings.Join(out, ",")
}

// part is what the engine's group function says, once the group makes sense.
func (e *engine) part(m member) (groupPart, error) {
	if e.group == nil {
		return groupPart{}, fmt.Errorf("it is to run on %d nodes; %s runs on one", m.in.Ranks(), e.name)
	}
	return e.group(m), nil
}

// doubled is a name that stands twice, "" where none does.
func doubled(names []string) string {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return n
		}
	}
	return ""
}

// size is a key of parallel, 1 where it is not set.
func size(v schema.Values, key string) int {
	n, _ := knob{attr: "parallel." + key}.value(v)
	i, _ := n.(int64)
	return max(1, int(i))
}

// world is how many GPUs the engine spreads over the nodes.
func (e *engine) world(v schema.Values) int {
	n := 1
	for _, key := range e.sizes {
		n *= size(v, key)
	}
	return n
}

// rankProblems are what is wrong with a server's ranks.
func (e *engine) rankProblems(v schema.Values) []schema.Problem {
	var problems []schema.Problem
	add := func(attr, summary, detail string, args ...any) {
		problems = append(problems, schema.Problem{Attr: attr, Summary: summary, Detail: fmt.Sprintf(detail, args...)})
	}
	nodes := v.Strings(schema.RanksValue)
	ranks := len(nodes)
	launcher := v.String("launcher")
	switch {
	case launcher == "":
	case ranks < 2:
		add("launcher", "Attribute without a meaning", "launcher says how ranks on several nodes are started, and the server runs on one: leave it out.")
	case len(e.launchers) == 0:
		add("launcher", "Attribute without a meaning", "%s has one way to run on several nodes: leave launcher out.", e.name)
	case !slices.Contains(e.launchers, launcher):
		add("launcher", "Wrong value", "launcher is %q: %s has %s.", launcher, e.name, strings.Join(e.launchers, ", "))
	}
	if ranks < 2 {
		return problems
	}
	if twice := doubled(nodes); twice != "" && len(e.sizes) > 0 {
		add("nodes", "Node named twice", "node.%s is named twice: a rank of %s takes as many GPUs of its node as it needs, so name each node once.", twice, e.name)
		return problems
	}
	switch world := e.world(v); {
	case e.group == nil:
		add("nodes", "More nodes than one", "%s runs on one node, and this is for %d: name one, or set replicas = %d for one on each.", e.name, ranks, ranks)
	case len(e.sizes) > 0 && world%ranks != 0:
		add("parallel", "Nodes that nothing is spread over", "%s runs on %d nodes, and %s of parallel make %d: set it to a multiple of the nodes, as in parallel = { tensor = %d }, or set replicas = %d for a copy on each.", e.name, ranks, strings.Join(e.sizes, " × "), world, ranks, ranks)
	case slices.Contains(e.sizes, "data") && size(v, "data") > 1 && size(v, "data")%ranks != 0:
		add("parallel", "Data parallelism that can't be spread", "parallel.data is %d on %d nodes: make it a multiple of the nodes, or 1 and use tensor or pipeline.", size(v, "data"), ranks)
	}
	return problems
}
