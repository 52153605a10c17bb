package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"sparkrun/scenario"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
	"sparkrun/targets/container"
	"sparkrun/targets/node"
)

// nodes are this machine and those of a plan, each connected to when it is first used.
type nodes struct {
	env   *Env
	plans []plan.Node

	mu      sync.Mutex
	ssh     map[string]*node.SSH
	engines map[string]*container.Docker
}

func newNodes(env *Env, plans []plan.Node) *nodes {
	return &nodes{env: env, plans: plans, ssh: map[string]*node.SSH{}, engines: map[string]*container.Docker{}}
}

// names are the nodes that are not this machine.
func (n *nodes) names() []string {
	var out []string
	for _, p := range n.plans {
		if p.Name != "local" {
			out = append(out, p.Name)
		}
	}
	return out
}

func (n *nodes) node(name string) (targets.Node, error) {
	if name == "local" {
		return node.Local{Self: n.env.Self}, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.remote(name)
}

// remote is a node over SSH; mu is held.
func (n *nodes) remote(name string) (*node.SSH, error) {
	if s, ok := n.ssh[name]; ok {
		return s, nil
	}
	for _, p := range n.plans {
		if p.Name != name {
			continue
		}
		key, _ := p.Values["identity_file"].(string)
		s := node.NewSSH(node.SSHOptions{
			Name: name, Host: p.Host, Port: int(p.Values.Int("port")), User: p.Values.String("user"), IdentityFile: key, Jump: p.Values.String("jump"),
			Lookup: n.env.Lookup, Self: n.env.Self, Origin: origin(n.env),
		})
		n.ssh[name] = s
		return s, nil
	}
	return nil, fmt.Errorf("node %s: the scenario has no such node", name)
}

// origin names this machine and its user in the marks of what runs on nodes: others can't
// tell which of our runs are going on.
func origin(env *Env) string {
	name, _ := os.Hostname()
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		name += "/" + strings.TrimSpace(string(id))
	}
	home, _ := env.Lookup("HOME")
	return name + home
}

// containers is the container engine of a node.
func (n *nodes) containers(name string) (targets.Containers, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d, ok := n.engines[name]; ok {
		return d, nil
	}
	open := func() (*container.Docker, error) { return container.Open(n.env.Lookup) }
	if name != "local" {
		s, err := n.remote(name)
		if err != nil {
			return nil, err
		}
		open = func() (*container.Docker, error) { return container.OpenRemote(s, origin(n.env)) }
	}
	d, err := open()
	if err != nil {
		return nil, err
	}
	n.engines[name] = d
	return d, nil
}

// close ends all connections.
func (n *nodes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.engines {
		_ = d.Close()
	}
	for _, s := range n.ssh {
		_ = s.Close()
	}
}

// usedNodes are the nodes on which a plan starts servers, or workers over SSH.
func usedNodes(p *plan.Plan) []plan.Node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), func(n plan.Node) bool { return !serves(p, n.Name) && !loads(p, n.Name) })
}

// serves reports whether a plan starts a server on a node.
func serves(p *plan.Plan, node string) bool {
	return slices.ContainsFunc(p.Sessions, func(s plan.Session) bool { return slices.Contains(s.Nodes, node) })
}

// loads reports whether a plan starts workers on a node over SSH.
func loads(p *plan.Plan, node string) bool {
	return p.Generator != nil && p.Generator.Launcher == "ssh" && slices.Contains(p.Generator.Nodes, node)
}

// nodesOf are the nodes of a run, as it wrote them down; none where it has not.
func nodesOf(dir string) ([]plan.Node, error) {
	b, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var written struct {
		Plan plan.Plan `json:"plan"`
	}
	if err == nil {
		err = json.Unmarshal(b, &written)
	}
	for _, n := range written.Plan.Nodes {
		err = errors.Join(err, n.Values.Typed(scenario.NodeAttrs()))
	}
	if err != nil {
		return nil, fmt.Errorf("read the nodes of the run in %s: %w", dir, err)
	}
	return usedNodes(&written.Plan), nil
}
