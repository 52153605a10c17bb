package framework

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"

	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// agentProgram stands in for ssh between the ranks.
//
//go:embed agent/agent.py
var agentProgram []byte

const agentName = "agent.py"

// The variables that the agent reads.
const (
	agentPort  = "SPARKRUN_AGENT_PORT"
	agentToken = "SPARKRUN_AGENT_TOKEN"
)

// trtllmGroup: mpirun on the head starts the ranks, each in its own node's container
// through the agent that waits there: no sshd, no key and no download in the image. What
// a rank's environment needs is its container's already. What ranks say comes out at the
// head, each line with its rank.
func trtllmGroup(m member) groupPart {
	agent := m.in.Path(m.rank, m.server.Values.String("image") != "", agentName)
	part := groupPart{
		files: []targets.File{{Name: agentName, Content: agentProgram}},
		env:   map[string]string{agentPort: m.in.FabricPortText(0)},
	}
	if all := interfaces(m.in.Nodes); all != "" {
		// The head's go to every node, and names that a node lacks are passed over.
		part.env["OMPI_MCA_btl_tcp_if_include"], part.env["OMPI_MCA_oob_tcp_if_include"] = all, all
	}
	if m.rank > 0 {
		part.instead = []string{"python3", agent, "serve", m.ips[m.rank]}
		part.listens = m.in.FabricPort
		return part
	}
	world := trtllm.world(m.server.Values)
	slots := strconv.Itoa(world / m.in.Ranks())
	var hosts []string
	for _, ip := range m.ips {
		hosts = append(hosts, ip+":"+slots)
	}
	part.before = []string{
		"mpirun", "--allow-run-as-root", "--tag-output", "-np", strconv.Itoa(world), "-H", strings.Join(hosts, ","),
		"--mca", "plm_rsh_agent", "python3 " + agent, "--mca", "plm_rsh_no_tree_spawn", "1",
		"trtllm-llmapi-launch",
	}
	return part
}

// interfaces are those of all nodes, "" where one is unknown.
func interfaces(nodes []targets.RankNode) string {
	var out []string
	for _, n := range nodes {
		if n.Interface == "" {
			return ""
		}
		for name := range strings.SplitSeq(n.Interface, ",") {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return strings.Join(out, ",")
}

// withToken gives every rank what the agents know each other by.
func withToken(launches []targets.Launch, token schema.Text) {
	if len(launches) < 2 {
		return
	}
	if token.Reveal() == "" { // a plan, which has none yet
		token = schema.Secret(schema.Redacted)
	}
	for i := range launches {
		launches[i].Env[agentToken] = token
	}
}
