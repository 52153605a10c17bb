package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"sparkrun/targets"
)

// ipNode answers `ip`.
type ipNode struct {
	targets.Node
	out   targets.Output
	err   error
	asked *[]string
}

func (n ipNode) Run(_ context.Context, c targets.Cmd) (targets.Output, error) {
	*n.asked = append(*n.asked, strings.Join(c.Argv, " "))
	return n.out, n.err
}

// TestInterfaceOfTheFabric: asked of the node where the scenario does not say; an address
// that no interface has is an error before anything starts.
func TestInterfaceOfTheFabric(t *testing.T) {
	const line = "3: enp1s0f1np1    inet 10.20.0.11/24 brd 10.20.0.255 scope global enp1s0f1np1\\       valid_lft forever preferred_lft forever\n"
	for name, c := range map[string]struct {
		node targets.RankNode
		out  targets.Output
		err  error
		want string
		fail string
	}{
		"found":      {node: targets.RankNode{FabricIP: "10.20.0.11"}, out: targets.Output{Stdout: []byte(line)}, want: "enp1s0f1np1"},
		"of a pair":  {node: targets.RankNode{FabricIP: "10.20.0.11"}, out: targets.Output{Stdout: []byte("7: veth0@if5    inet 10.20.0.11/24 scope global veth0\n")}, want: "veth0"},
		"none":       {node: targets.RankNode{FabricIP: "10.20.0.99"}, want: "", fail: "no network interface there has 10.20.0.99"},
		"no program": {node: targets.RankNode{FabricIP: "10.20.0.11"}, err: errors.New("ip: not found"), want: ""},
		"old":        {node: targets.RankNode{FabricIP: "10.20.0.11"}, out: targets.Output{ExitCode: 255}, want: ""},
		"named":      {node: targets.RankNode{FabricIP: "10.20.0.99", Interface: "eth1"}, want: "eth1"},
		"no address": {},
	} {
		var asked []string
		nodes := []targets.RankNode{c.node}
		err := findInterfaces(t.Context(), []*rank{{of: "server.a", place: " (rank 1) on spark2", node: ipNode{out: c.out, err: c.err, asked: &asked}}}, nodes)
		if nodes[0].Interface != c.want || (err == nil) != (c.fail == "") {
			t.Errorf("%s: %q, %v, want %q", name, nodes[0].Interface, err, c.want)
		}
		if err != nil && (reasonOf(t, err) != LaunchFailed || !strings.Contains(err.Error(), "start server.a (rank 1) on spark2: "+c.fail)) {
			t.Errorf("%s: %v", name, err)
		}
		if want := c.node.Interface == "" && c.node.FabricIP != ""; want != slices.Equal(asked, []string{"ip -o addr show to " + c.node.FabricIP}) {
			t.Errorf("%s: asked %q", name, asked)
		}
	}
}

func FuzzParseInterface(f *testing.F) {
	f.Add([]byte("3: enp1s0f1np1    inet 10.20.0.11/24\n"))
	f.Add([]byte("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if name := parseInterface(out); strings.ContainsAny(name, " \n\t@") {
			t.Errorf("%q from %q", name, out)
		}
	})
}
