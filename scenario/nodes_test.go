package scenario_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sparkrun/scenario"
)

// twoNodes are a scenario of servers on nodes.
const twoNodes = `
node "spark1" {
  host      = "192.168.100.11"
  fabric_ip = "10.20.0.11"
  interface = "enp1s0f1np1"
}
node "local" {
  fabric_ip = "10.20.0.10"
}
node "lab" {
  hostfile  = "mpi_hosts"
  interface = "enp1s0f1np1"
  user      = "nvidia"
}
server "a" {
  framework = "command"
  command   = ["serve"]
  nodes     = node.lab
}
server "b" {
  framework = "command"
  command   = ["serve"]
  nodes     = [node.lab, node.local]
  replicas  = 2
  balance   = "round_robin"
}
server "c" {
  framework = "sim"
  replicas  = 3
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  matrix {
    server = [server.a, server.b, server.c]
  }
  server  = matrix.server
  dataset = dataset.d
  phase "steady" {
    requests    = 10
    concurrency = 1
  }
}
`

// TestNodesOfAHostfile: hosts become nodes with the group's attributes; one that a block
// declares, by its label or its host, is that node.
func TestNodesOfAHostfile(t *testing.T) {
	hosts := "# the lab\nspark1 slots=1\n10.20.0.12 slots=2 max_slots=4\nroot@10.20.0.13\n192.168.100.11\n"
	load := func(hosts string) (*scenario.Scenario, error) {
		s, diags := scenario.Load(options(map[string]string{"s.hcl": twoNodes, "mpi_hosts": hosts}, "s.hcl"))
		return s, errors.Join(diags.Errs()...)
	}
	s, err := load(hosts)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Plan
	var nodes []string
	for _, n := range p.Nodes {
		nodes = append(nodes, strings.Join([]string{n.Name, n.Host, n.Values.String("user"), n.Values.String("interface")}, "/"))
	}
	if want := []string{"spark1/192.168.100.11//enp1s0f1np1", "local///", "10.20.0.12/10.20.0.12/nvidia/enp1s0f1np1", "10.20.0.13/10.20.0.13/root/enp1s0f1np1"}; !slices.Equal(nodes, want) {
		t.Errorf("nodes %v, want %v", nodes, want)
	}
	if p.Nodes[0].Slots != 1 || p.Nodes[2].Slots != 2 {
		t.Errorf("slots %d and %d", p.Nodes[0].Slots, p.Nodes[2].Slots)
	}
	if got, want := p.Servers[0].Nodes, []string{"spark1", "10.20.0.12", "10.20.0.13"}; !slices.Equal(got, want) || p.Servers[0].Count() != 1 {
		t.Errorf("server.a is on %v, want %v", got, want)
	}
	b := p.Servers[1]
	if got := [][]string{b.Group(0), b.Group(1)}; !slices.Equal(got[0], []string{"spark1", "10.20.0.12"}) || !slices.Equal(got[1], []string{"10.20.0.13", "local"}) || b.Balance != "round_robin" {
		t.Errorf("the replicas of server.b are on %v, balance %q", got, b.Balance)
	}
	c := p.Servers[2]
	if !slices.Equal(c.Nodes, []string{"local", "local", "local"}) || c.Balance != "least_busy" {
		t.Errorf("server.c is on %v, balance %q", c.Nodes, c.Balance)
	}
	// They share nodes: one after the other.
	if n := len(p.Sessions); n != 3 || len(p.Sessions[1].After) == 0 || len(p.Sessions[2].After) == 0 {
		t.Errorf("%d sessions: %+v", n, p.Sessions)
	}
	for _, bad := range []struct{ hosts, want string }{
		{"", "names no host"},
		{"a\nb slots=x", "line 2: slots is"},
		{"a\nroot@a", "with another user"},
	} {
		if _, err := load(bad.hosts); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q: %v, want an error with %q", bad.hosts, err, bad.want)
		}
	}
	moved, err := load(strings.Replace(hosts, "10.20.0.12", "10.20.0.22", 1))
	if err != nil || moved.Plan.Servers[0].Digest == p.Servers[0].Digest {
		t.Errorf("on another machine the server's digest is the same, %v", err)
	}
}

// TestFabricIsInTheDigest: what shapes the traffic between ranks shapes the numbers.
func TestFabricIsInTheDigest(t *testing.T) {
	digest := func(text string) string {
		s, diags := scenario.Load(options(map[string]string{"s.hcl": text, "mpi_hosts": "spark1\n10.20.0.12\n10.20.0.13"}, "s.hcl"))
		if diags.HasErrors() {
			t.Fatal(diags.Errs())
		}
		return s.Plan.Servers[0].Digest
	}
	base := digest(twoNodes)
	for _, change := range [][2]string{
		{`fabric_ip = "10.20.0.11"`, `fabric_ip = "10.20.0.21"`},
		{`interface = "enp1s0f1np1"`, `interface = "enP2p1s0f1np1"`},
		{`host      = "192.168.100.11"`, `host      = "192.168.100.21"`},
		{`user      = "nvidia"`, "env = { NCCL_DEBUG = \"INFO\" }"},
	} {
		if digest(strings.Replace(twoNodes, change[0], change[1], 1)) == base {
			t.Errorf("with %s the digest is the same", change[1])
		}
	}
	if digest(strings.Replace(twoNodes, `user      = "nvidia"`, `price_per_hour = 2`, 1)) != base {
		t.Error("a price shapes no number")
	}
}
