package framework

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"

	"sparkrun/targets"
)

// Ray is the way to run vLLM on several nodes that its older images know: a worker of Ray
// on each, and the server on the head once all have joined. Images of today may lack it.
const (
	rayMissing = `command -v ray >/dev/null || { echo "error: ray is not installed here: leave launcher out, or install it with setup = [\"pip install 'ray[default]'\"]"; exit 127; }
`
	// rayHead takes the head's address, the port and the number of nodes, then what is to be
	// run. It says something only when the number of nodes changes: a log that grows looks
	// like progress.
	rayHead = rayMissing + `ray start --head --node-ip-address="$1" --port="$2" --disable-usage-stats || exit 1
seen=0
until [ "$seen" -ge "$3" ]; do
  now=$(python3 -c 'import ray, sys; ray.init(address=sys.argv[1], logging_level="ERROR"); print(sum(n["Alive"] for n in ray.nodes()))' "$1:$2" 2>/dev/null | tail -n 1)
  if [ "${now:-0}" -ne "$seen" ]; then seen=$now; echo "ray: $seen of $3 nodes have joined"; fi
  sleep 1
done
shift 3
exec "$@"`
	// rayWorker takes the head's address, the port and its own address. It waits for the
	// head, and ends with it.
	rayWorker = rayMissing + `until python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' "$1" "$2" 2>/dev/null; do sleep 1; done
exec ray start --block --address="$1:$2" --node-ip-address="$3" --disable-usage-stats`
	rayName = "sparkrun-ray"
)

// rayOwn is a file of vLLM's: the variables that Ray must not carry from the head to the
// workers, as each node has its own.
const rayOwn = "ray_non_carry_over_env_vars.json"

// rayPart is a rank of vLLM under Ray.
func rayPart(m member, local []string) groupPart {
	head, port := m.ips[0], m.in.FabricPortText(0)
	part := groupPart{env: map[string]string{
		"VLLM_HOST_IP": m.ips[m.rank], "RAY_memory_monitor_refresh_ms": "0",
		"VLLM_CONFIG_ROOT": path.Dir(m.in.Path(m.rank, m.server.Values.String("image") != "", rayOwn)),
	}}
	own := []string{"VLLM_HOST_IP", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "UCX_NET_DEVICES", "NCCL_IB_HCA", "NCCL_IB_GID_INDEX"}
	b, err := json.Marshal(own)
	if err != nil {
		panic(fmt.Sprintf("framework: JSON of names: %v", err))
	}
	part.files = []targets.File{{Name: rayOwn, Content: append(b, '\n')}}
	if len(local) == 0 && vllm.world(m.server.Values) == m.in.Ranks() {
		// A GPU a node: packing them on one, as vLLM asks Ray to, can't be.
		part.env["VLLM_DISTRIBUTED_EXECUTOR_CONFIG"] = `{"placement_group_options":{"strategy":"SPREAD"}}`
	}
	if m.rank > 0 {
		part.instead = []string{"sh", "-c", rayWorker, rayName, head, port, m.ips[m.rank]}
		return part
	}
	part.before = []string{"sh", "-c", rayHead, rayName, head, port, strconv.Itoa(m.in.Ranks())}
	part.args = []string{"--distributed-executor-backend", "ray"}
	if len(local) > 0 {
		part.args = append(part.args, "--data-parallel-backend", "ray")
		part.args = append(part.args, local...)
		part.env["VLLM_RAY_DP_PACK_STRATEGY"] = "span"
	}
	return part
}
