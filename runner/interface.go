package runner

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"sparkrun/targets"
)

// interfaceWait is how long a node may take to say which interface has an address.
const interfaceWait = 15 * time.Second

// findInterfaces asks the nodes for the network interface of their fabric_ip where the
// scenario does not name it: engines that are not told take any, and then wait for each
// other for ever.
func findInterfaces(ctx context.Context, ranks []*rank, nodes []targets.RankNode) error {
	for i, k := range ranks {
		n := &nodes[i]
		if n.Interface != "" || n.FabricIP == "" {
			continue
		}
		var err error
		if n.Interface, err = interfaceOf(ctx, k.node, n.FabricIP); err != nil {
			return failedStart(k, err)
		}
	}
	return nil
}

// interfaceOf is the network interface of a node that has an address, "" where the node
// can't tell.
func interfaceOf(ctx context.Context, node targets.Node, ip string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, interfaceWait)
	defer cancel()
	out, err := node.Run(ctx, targets.Cmd{Argv: []string{"ip", "-o", "addr", "show", "to", ip}})
	if err != nil || out.ExitCode != 0 {
		return "", nil // it has no `ip`, or one that does not know the question
	}
	name := parseInterface(out.Stdout)
	if name == "" {
		return "", fmt.Errorf("no network interface there has %s, its fabric_ip: correct it (ip -brief addr shows what there is), or set interface", ip)
	}
	return name, nil
}

// parseInterface is the first interface of what `ip -o addr` prints, as in
// "3: enp1s0f1np1    inet 10.20.0.11/24 brd 10.20.0.255 scope global enp1s0f1np1".
func parseInterface(out []byte) string {
	line, _, _ := bytes.Cut(out, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) < 4 || !strings.HasSuffix(words[0], ":") {
		return ""
	}
	name, _, _ := strings.Cut(words[1], "@") // "veth0@if5" is veth0
	return strings.TrimSuffix(name, ":")
}
