package framework

// SGLang: `python3 -m sglang.launch_server --model-path MODEL`, flags with dashes and
// without --no- forms. chunked-prefill-size is its limit of tokens in a step.
var sglang = &engine{
	name: "sglang", program: []string{"python3", "-m", "sglang.launch_server"}, modelFlag: "--model-path", dash: "-", config: "--config", configFlags: true, ofTotal: true,
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

func init() {
	kind := sglang.kind("SGLang: python3 -m sglang.launch_server.")
	kind.CacheReset = "/flush_cache"
	register(openAI{kind: kind, launch: needsModel(sglang.launch)})
}
