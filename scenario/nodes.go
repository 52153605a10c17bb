package scenario

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/hostfile"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// nodes decodes the node blocks. One with a hostfile is a group: its hosts become nodes
// named as the file names them, unless a block is that host's already.
func (l *loader) nodes() {
	t := blockType(topBlocks, "node")
	l.groups = map[string][]string{}
	var groups []*hclsyntax.Block
	for _, b := range l.blocks["node"] {
		l.known(b.Body, t, nil)
		if _, is := b.Body.Attributes["hostfile"]; is {
			groups = append(groups, b)
			continue
		}
		v := l.attrs(b.Body, t.Attrs, where{binding: schema.Load})
		l.public(b.Body, v, "host", "fabric_ip", "interface")
		l.checkNode(b, v)
		l.plan.Nodes = append(l.plan.Nodes, plan.Node{Name: b.Labels[0], Host: v.String("host"), Values: v})
	}
	for _, b := range groups {
		l.group(b, t)
	}
}

// remoteAttrs say how a machine is reached, which this one need not be.
var remoteAttrs = []string{"host", "hostfile", "port", "user", "identity_file", "jump", "access"}

// checkNode finds what is wrong with a machine's block.
func (l *loader) checkNode(b *hclsyntax.Block, v schema.Values) {
	if b.Labels[0] == "local" {
		for _, name := range remoteAttrs {
			if a, set := b.Body.Attributes[name]; set {
				l.errorf(a.NameRange, "Attribute without a meaning", "node.local is this machine: leave %s out, or give the node another name.", name)
			}
		}
	} else if _, set := b.Body.Attributes["host"]; !set {
		l.errorf(b.Body.MissingItemRange(), "Attribute missing", "Set host (address, or an alias of ~/.ssh/config), or hostfile for the hosts of a file.")
	}
	l.checkFabric(b.Body, v)
}

// checkFabric finds what is wrong with the fabric that a block tells.
func (l *loader) checkFabric(body *hclsyntax.Body, v schema.Values) {
	if ip := v.String("fabric_ip"); v.Has("fabric_ip") {
		if _, err := netip.ParseAddr(ip); err != nil {
			l.errorf(body.Attributes["fabric_ip"].Expr.Range(), "Wrong value", "fabric_ip is %q: write the address itself, as in \"10.20.0.11\".", ip)
		}
	}
	if names := v.String("interface"); v.Has("interface") {
		for name := range strings.SplitSeq(names, ",") {
			if name == "" || strings.ContainsAny(name, " /\t") {
				l.errorf(body.Attributes["interface"].Expr.Range(), "Wrong value", "interface is %q: write the name of a network interface as `ip link` has it, several with commas and no blanks.", names)
				break
			}
		}
	}
}

// group makes nodes of the hosts of a hostfile.
func (l *loader) group(b *hclsyntax.Block, t BlockType) {
	before := len(l.diags)
	v := l.attrs(b.Body, t.Attrs, where{binding: schema.Load})
	file := b.Body.Attributes["hostfile"]
	for _, name := range []string{"host", "fabric_ip"} {
		if a, set := b.Body.Attributes[name]; set {
			l.errorf(a.NameRange, "Attribute without a meaning", "%s is of one machine, and hostfile makes the block a group: declare the machine in a block of its own, and name it in the file.", name)
		}
	}
	if b.Labels[0] == "local" {
		l.errorf(b.LabelRanges[0], "Wrong name", "node.local is this machine: give the group another name.")
	}
	l.public(b.Body, v, "interface")
	l.checkFabric(b.Body, v)
	if len(l.diags) > before {
		return
	}
	path, _ := v["hostfile"].(string)
	delete(v, "hostfile")
	in, err := l.open(path)
	if err != nil {
		l.errorf(file.Expr.Range(), "File that can't be read", "%s.", err)
		return
	}
	defer in.Close()
	hosts, err := hostfile.Read(in)
	if err != nil {
		l.errorf(file.Expr.Range(), "Hostfile that can't be read", "%s, %s.", path, err)
		return
	}
	if len(hosts) == 0 {
		l.errorf(file.Expr.Range(), "Hostfile without a host", "%s names no host: write one a line, as in \"10.20.0.11 slots=1\".", path)
	}
	var names []string
	for _, h := range hosts {
		name, why := l.member(h, v)
		if why != "" {
			l.errorf(file.Expr.Range(), "Two words about one machine", "%s, line %d: %s.", path, h.Line, why)
			return
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	l.groups[b.Labels[0]] = names
}

// member is the node that a hostfile's host is: one that a block declares, by its label
// or its host, or a new one with the group's attributes.
func (l *loader) member(h hostfile.Host, group schema.Values) (name, why string) {
	mine := schema.Values{}
	for k, x := range group {
		mine[k] = x
	}
	mine["host"] = schema.Plain(h.Name)
	if h.User != "" {
		mine["user"] = schema.Plain(h.User)
	}
	for i := range l.plan.Nodes {
		n := &l.plan.Nodes[i]
		if n.Name != h.Name && n.Host != h.Name {
			continue
		}
		n.Slots = max(n.Slots, int64(h.Slots))
		if l.fromFile[n.Name] && !reflect.DeepEqual(n.Values, mine) {
			return "", fmt.Sprintf("%s is in another group, or here with another user, with other attributes: give it a node block of its own", h.Name)
		}
		return n.Name, ""
	}
	if h.Name == "local" {
		return "local", ""
	}
	if l.fromFile == nil {
		l.fromFile = map[string]bool{}
	}
	l.fromFile[h.Name] = true
	l.plan.Nodes = append(l.plan.Nodes, plan.Node{Name: h.Name, Host: h.Name, Values: mine, Slots: int64(h.Slots)})
	return h.Name, ""
}

// place puts a server on its nodes: one a rank, replica by replica.
func (l *loader) place(b *hclsyntax.Block, s *plan.Server, w where) {
	s.Nodes = l.nodesOf(b, w)
	replicas, set := b.Body.Attributes["replicas"]
	if !set || len(s.Nodes) == 0 {
		return
	}
	n := int(s.Values.Int("replicas"))
	at := replicas.Expr.Range()
	_, placed := b.Body.Attributes["nodes"]
	switch {
	case n < 1 || n > mostReplicas:
		l.errorf(at, "Wrong value", "replicas is %d: it must be from 1 to %d.", n, mostReplicas)
		return
	case s.URL != "":
		l.errorf(at, "Attribute without a meaning", "%s is running already (url): sparkrun starts no replicas of it.", s.Address)
		return
	case n > 1 && s.Port != 0:
		l.errorf(b.Body.Attributes["port"].Expr.Range(), "Wrong value", "port is %d, and each of the %d replicas of %s needs one of its own: leave port out.", s.Port, n, s.Address)
		return
	case !placed:
		s.Nodes = slices.Repeat(s.Nodes, n)
	case len(s.Nodes)%n != 0:
		l.errorf(at, "Nodes that can't be shared out", "%s has %d nodes for %d replicas: give each replica the same number of nodes (a node may be named twice, as in [node.local, node.local]).", s.Address, len(s.Nodes), n)
		return
	}
	s.Replicas = n
	if n > 1 {
		s.Balance = s.Values.String("balance")
		if s.Balance == "" {
			s.Balance = "least_busy"
		}
	}
}

// meets checks that the ranks of a server can reach each other: on several machines each
// needs an address for the others.
func (l *loader) meets(b *hclsyntax.Block, s *plan.Server) {
	if s.URL != "" || len(s.Nodes) == 0 {
		return
	}
	lacking := map[string]bool{}
	for replica := range s.Count() {
		group := slices.Compact(slices.Sorted(slices.Values(s.Group(replica))))
		for _, name := range group {
			lacking[name] = lacking[name] || (len(group) > 1 && !l.hasFabric(name))
		}
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(s.Nodes))) {
		switch {
		case !lacking[name]:
		case name == "local":
			l.errorf(b.Body.Attributes["nodes"].Expr.Range(), "Node without an address for the others", "The other ranks of %s must reach this machine: say where, as in node \"local\" { fabric_ip = \"10.20.0.10\" }.", s.Address)
		default:
			l.errorf(b.Body.Attributes["nodes"].Expr.Range(), "Node without an address for the others", "The other ranks of %s must reach node.%s, whose host is a name: set its fabric_ip, the address on the network between the nodes.", s.Address, name)
		}
	}
}

// hasFabric reports whether a node has an address for others.
func (l *loader) hasFabric(name string) bool {
	i := slices.IndexFunc(l.plan.Nodes, func(n plan.Node) bool { return n.Name == name })
	if i < 0 {
		return false
	}
	n := l.plan.Nodes[i]
	_, err := netip.ParseAddr(n.Host)
	return err == nil || n.Values.Has("fabric_ip")
}

// mostReplicas is more than anybody has machines.
const mostReplicas = 1024

// nodesOf are the names of the nodes that a server's block gives, groups opened.
func (l *loader) nodesOf(b *hclsyntax.Block, w where) []string {
	a, ok := b.Body.Attributes["nodes"]
	if !ok {
		return []string{"local"}
	}
	w.what = "attribute nodes"
	v, ok := l.scope.eval(a.Expr, w)
	if !ok {
		return nil
	}
	if name, is := address(v, "node"); is {
		return l.opened(name)
	}
	var names []string
	if v.CanIterateElements() {
		for it := v.ElementIterator(); it.Next(); {
			_, x := it.Element()
			name, is := address(x, "node")
			if !is {
				names = nil
				break
			}
			names = append(names, l.opened(name)...)
		}
	}
	if len(names) == 0 {
		l.errorf(a.Expr.Range(), "Wrong value", "nodes must be a list of nodes, as in [node.spark1].")
	}
	return names
}

// opened are the nodes of a group, or the node itself.
func (l *loader) opened(name string) []string {
	if names, group := l.groups[name]; group {
		return names
	}
	return []string{name}
}
