package framework

// vLLM: `vllm serve MODEL`, flags with dashes, each on/off flag with a --no- form; its
// file (--config) has the flags' names as keys.
var vllm = &engine{
	name: "vllm", program: []string{"vllm", "serve"}, dash: "-", negates: true, config: "--config", configFlags: true, ofTotal: true, claims: true,
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
	kind := vllm.kind("vLLM: vllm serve MODEL.")
	kind.CacheReset = "/reset_prefix_cache" // there with VLLM_SERVER_DEV_MODE=1 only
	register(openAI{kind: kind, launch: needsModel(vllm.launch)})
}
