package framework

import "strconv"

// SGLang: `python3 -m sglang.launch_server --model-path MODEL`, flags with dashes and
// without --no- forms. chunked-prefill-size is its limit of tokens in a step.
var sglang = &engine{
	name: "sglang", program: []string{"python3", "-m", "sglang.launch_server"}, modelFlag: "--model-path", dash: "-", config: "--config", configFlags: true, ofTotal: true,
	group: sglangGroup, sizes: []string{"tensor", "pipeline"}, groupFlags: []string{"--nnodes", "--node-rank", "--dist-init-addr", "--nccl-init-addr"},
	ours: map[string]string{"--host": "sparkrun", "--port": "port", "--model-path": "model", "--model": "model"},
	knobs: []knob{
		{attr: "revision", flag: "--revision"},
		{attr: "served_name", flag: "--served-model-name"},
		{attr: "tokenizer", flag: "--tokenizer-path"},
		{attr: "parallel.tensor", flag: "--tp-size"},
		{attr: "parallel.pipeline", flag: "--pp-size"},
		{attr: "parallel.data", flag: "--dp-size"},
		{attr: "parallel.expert", flag: "--ep-size"},
		{attr: "memory_fraction", flag: "--mem-fraction-static"},
		{attr: "max_model_len", flag: "--context-length"},
		{attr: "max_num_seqs", flag: "--max-running-requests"},
		{attr: "max_batched_tokens", flag: "--chunked-prefill-size"},
		{attr: "kv_cache_dtype", flag: "--kv-cache-dtype"},
		{attr: "quantization", flag: "--quantization"},
		{attr: "prefix_caching", args: onOff("", "--disable-radix-cache")},
	},
}

// sglangGroup is a rank of SGLang: the same command on every node. Without its address a
// rank tells the others that of any network; NCCL's cuMem and the check for equal memory
// fail on a DGX Spark.
func sglangGroup(m member) groupPart {
	return groupPart{
		args: []string{"--nnodes", strconv.Itoa(m.in.Ranks()), "--node-rank", strconv.Itoa(m.rank), "--dist-init-addr", m.ips[0] + ":" + m.in.FabricPortText(0)},
		env:  map[string]string{"SGLANG_HOST_IP": m.ips[m.rank], "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK": "0", "NCCL_CUMEM_ENABLE": "0"},
	}
}

func init() {
	kind := sglang.kind("SGLang: python3 -m sglang.launch_server.")
	kind.CacheReset = "/flush_cache"
	register(openAI{kind: kind, launch: needsModel(sglang.launch)})
}
