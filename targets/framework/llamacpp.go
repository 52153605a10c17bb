package framework

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// llama.cpp: `llama-server`, the model as a file (-m) or a repository (-hf). Its context
// (-c) is divided among its slots (-np): max_model_len is that of one sequence.
var llamacpp = &engine{
	name: "llamacpp", program: []string{"llama-server"}, dash: "-", negates: true,
	group: llamaGroup, groupFlags: []string{"--rpc"},
	short: []string{"tb", "ub", "fa", "np", "cb", "ngl", "ncmoe", "cmoe", "ctk", "ctv", "dev", "ot", "sm", "ts", "mg", "hf", "hff", "md", "cd", "ngld", "dio", "kvu", "cram"},
	ours: map[string]string{
		"--host": "sparkrun", "--port": "port", "-m": "model", "--model": "model", "-hf": "model", "--hf-repo": "model", "-a": "served_name",
		"-c": "max_model_len", "--ctx-size": "max_model_len", "-np": "max_num_seqs", "-ctk": "kv_cache_dtype", "-ctv": "kv_cache_dtype", "-ub": "max_batched_tokens", "-b": "max_batched_tokens",
	},
	knobs: []knob{
		{attr: "served_name", flag: "--alias"},
		{attr: "max_num_seqs", flag: "--parallel"},
		{attr: "max_model_len", args: func(any) []string { return nil }}, // with max_num_seqs, in launch
		{attr: "max_batched_tokens", args: func(v any) []string { return []string{"--batch-size", text(v), "--ubatch-size", text(v)} }},
		{attr: "kv_cache_dtype", args: func(v any) []string { return []string{"--cache-type-k", text(v), "--cache-type-v", text(v)} }},
		{attr: "prefix_caching", args: onOff("--cache-prompt", "--no-cache-prompt")},
	},
}

func launchLlamaCpp(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	flag := "-hf"
	if strings.HasSuffix(s.Model, ".gguf") {
		flag = "-m"
	}
	e := *llamacpp
	e.modelFlag = flag
	if n := s.Values.Int("max_model_len"); n > 0 {
		e.program = append(slices.Clone(e.program), "--ctx-size", strconv.FormatInt(n*max(1, s.Values.Int("max_num_seqs")), 10))
	}
	if !s.Values.Has("served_name") {
		e.program = append(slices.Clone(e.program), "--alias", s.Model)
	}
	return e.launch(s, in)
}

// rpcServer runs llama.cpp's server for remote devices, whose name has changed.
const rpcServer = `for program in rpc-server ggml-rpc-server; do
  if command -v "$program" >/dev/null; then exec "$program" "$@"; fi
done
echo "error: neither rpc-server nor ggml-rpc-server is installed here: build llama.cpp with -DGGML_RPC=ON"
exit 127`

// llamaGroup: the workers offer their devices (rpc-server, without any authentication, on
// the fabric's address alone), and the head uses them beside its own.
func llamaGroup(m member) groupPart {
	if m.rank > 0 {
		part := groupPart{instead: []string{"sh", "-c", rpcServer, "sparkrun-rpc", "-H", m.ips[m.rank], "-p", m.in.FabricPortText(m.rank)}}
		if m.in.FabricPort != 0 {
			part.listens = m.in.FabricPort + m.rank
		}
		return part
	}
	var workers []string
	for rank := 1; rank < m.in.Ranks(); rank++ {
		workers = append(workers, m.ips[rank]+":"+m.in.FabricPortText(rank))
	}
	return groupPart{args: []string{"--rpc", strings.Join(workers, ",")}}
}

func checkLlamaCpp(v schema.Values) []schema.Problem {
	problems := llamacpp.check(v)
	if v.Has("max_model_len") && !v.Has("max_num_seqs") && v.String("url") == "" {
		problems = append(problems, schema.Problem{Attr: "max_model_len", Summary: "Context without slots", Detail: fmt.Sprintf("llama-server divides its context among its slots: set max_num_seqs too, and it gets %d tokens for each.", v.Int("max_model_len"))})
	}
	return problems
}

func init() {
	kind := llamacpp.kind("llama.cpp's llama-server; a model that ends in .gguf is a file, else a repository.")
	kind.Check = checkLlamaCpp
	register(openAI{kind: kind, launch: needsModel(launchLlamaCpp)})
}
