package framework

import "strconv"

// vLLM: `vllm serve MODEL`, flags with dashes, each on/off flag with a --no- form; its
// file (--config) has the flags' names as keys.
var vllm = &engine{
	name: "vllm", program: []string{"vllm", "serve"}, dash: "-", negates: true, config: "--config", configFlags: true, ofTotal: true, claims: true,
	launchers: []string{"mp", "ray"}, sizes: []string{"tensor", "pipeline", "data"},
	groupFlags: []string{
		"--distributed-executor-backend", "--nnodes", "--node-rank", "--master-addr", "--master-port", "--headless", "--data-parallel-backend",
		"--data-parallel-size-local", "--data-parallel-address", "--data-parallel-rpc-port", "--data-parallel-start-rank",
	},
	ours: map[string]string{"--host": "sparkrun", "--port": "port", "--model": "model"},
	knobs: []knob{
		{attr: "revision", flag: "--revision"},
		{attr: "served_name", flag: "--served-model-name"},
		{attr: "tokenizer", flag: "--tokenizer"},
		{attr: "parallel.tensor", flag: "--tensor-parallel-size"},
		{attr: "parallel.pipeline", flag: "--pipeline-parallel-size"},
		{attr: "parallel.data", flag: "--data-parallel-size"},
		// Experts are spread over all ranks or none; the size is not vLLM's to choose.
		{attr: "parallel.expert", args: func(v any) []string {
			if n, _ := v.(int64); n > 1 {
				return []string{"--enable-expert-parallel"}
			}
			return nil
		}},
		{attr: "memory_fraction", flag: "--gpu-memory-utilization"},
		{attr: "max_model_len", flag: "--max-model-len"},
		{attr: "max_num_seqs", flag: "--max-num-seqs"},
		{attr: "max_batched_tokens", flag: "--max-num-batched-tokens"},
		{attr: "kv_cache_dtype", flag: "--kv-cache-dtype"},
		{attr: "quantization", flag: "--quantization"},
		{attr: "prefix_caching", args: onOff("--enable-prefix-caching", "--no-enable-prefix-caching")},
	},
}

// vllmGroup is a rank of vLLM: its own processes (mp), or Ray's. With data parallelism
// each node has engines of its own, else one engine is spread over all nodes.
func vllmGroup(m member) groupPart {
	n, data := m.in.Ranks(), size(m.server.Values, "data")
	head, port := m.ips[0], m.in.FabricPortText(0)
	var local []string
	if data > 1 {
		local = []string{"--data-parallel-size-local", strconv.Itoa(data / n), "--data-parallel-address", head}
	}
	if m.server.Values.String("launcher") == "ray" {
		return rayPart(m, local)
	}
	part := groupPart{env: map[string]string{"VLLM_HOST_IP": m.ips[m.rank]}}
	if data > 1 {
		part.args = append(local, "--data-parallel-rpc-port", port)
		if m.rank > 0 {
			part.args = append(part.args, "--data-parallel-start-rank", strconv.Itoa(m.rank*data/n))
		}
	} else {
		part.args = []string{"--distributed-executor-backend", "mp", "--nnodes", strconv.Itoa(n), "--node-rank", strconv.Itoa(m.rank), "--master-addr", head, "--master-port", port}
	}
	if m.rank > 0 {
		part.args = append(part.args, "--headless")
	}
	return part
}

// onOff are the flags for true and false, "" for none.
func onOff(on, off string) func(any) []string {
	return func(v any) []string {
		flag := off
		if b, _ := v.(bool); b {
			flag = on
		}
		if flag == "" {
			return nil
		}
		return []string{flag}
	}
}

func init() {
	vllm.group = vllmGroup
	kind := vllm.kind("vLLM: vllm serve MODEL.")
	kind.CacheReset = "/reset_prefix_cache" // there with VLLM_SERVER_DEV_MODE=1 only
	register(openAI{kind: kind, launch: needsModel(vllm.launch)})
}
