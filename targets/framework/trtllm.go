package framework

import (
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// TensorRT-LLM: `trtllm-serve MODEL`, flags with underscores and without --no- forms; what
// is about the KV cache stands in its YAML file.
var trtllm = &engine{
	name: "trtllm", program: []string{"trtllm-serve"}, dash: "_", config: "--extra_llm_api_options",
	sizes: []string{"tensor", "pipeline"}, launchers: []string{"mpirun"},
	ours: map[string]string{"--host": "sparkrun", "--port": "port", "--extra_llm_api_options": "config"},
	knobs: []knob{
		{attr: "tokenizer", flag: "--tokenizer"},
		{attr: "parallel.tensor", flag: "--tp_size"},
		{attr: "parallel.pipeline", flag: "--pp_size"},
		{attr: "parallel.expert", flag: "--ep_size"},
		{attr: "max_model_len", flag: "--max_seq_len"},
		{attr: "max_num_seqs", flag: "--max_batch_size"},
		{attr: "max_batched_tokens", flag: "--max_num_tokens"},
		{attr: "memory_fraction", path: "kv_cache_config.free_gpu_memory_fraction"},
		{attr: "kv_cache_dtype", path: "kv_cache_config.dtype"},
		{attr: "prefix_caching", path: "kv_cache_config.enable_block_reuse"},
	},
}

// tiktokenBase is where gpt-oss's harmony encoder looks for its vocabulary, which it would
// else download in the midst of the start.
const (
	tiktokenVariable = "TIKTOKEN_ENCODINGS_BASE"
	tiktokenBase     = "/tmp/harmony-reqs"
	tiktokenFrom     = "https://openaipublic.blob.core.windows.net/encodings/"
)

// tiktokenSetup fetches the vocabulary where it is not there yet.
func tiktokenSetup() []string {
	out := []string{"mkdir -p " + tiktokenBase}
	for _, f := range []string{"o200k_base.tiktoken", "cl100k_base.tiktoken"} {
		path := tiktokenBase + "/" + f
		out = append(out, "[ -s "+path+" ] || wget -q -O "+path+" "+tiktokenFrom+f)
	}
	return out
}

func launchTRTLLM(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	launches, err := trtllm.launch(s, in)
	withToken(launches, in.Token)
	if err != nil || !strings.Contains(s.Model, "gpt-oss") {
		return launches, err
	}
	for i := range launches {
		l := &launches[i]
		if _, set := l.Env[tiktokenVariable]; !set {
			l.Env[tiktokenVariable] = schema.Plain(tiktokenBase)
			*l = withSetup(*l, tiktokenSetup())
		}
	}
	return launches, nil
}

func init() {
	trtllm.group = trtllmGroup
	register(openAI{kind: trtllm.kind("TensorRT-LLM: trtllm-serve MODEL."), launch: needsModel(launchTRTLLM)})
}
