package framework

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

var update = flag.Bool("update", false, "write the golden files")

// server is a server's block, written short.
func server(framework, model string, values, options schema.Values) plan.Server {
	if values == nil {
		values = schema.Values{}
	}
	return plan.Server{Address: "server.x", Name: "x", Framework: framework, Model: model, Port: 8000, Nodes: []string{"local"}, Values: values, Options: options}
}

// onSparks is a server on two DGX Sparks, or on this machine and one where local says so.
func onSparks(s plan.Server, nodes ...string) plan.Server {
	if nodes == nil {
		nodes = []string{"spark1", "spark2"}
	}
	s.Nodes = nodes
	return s
}

// sparks are the nodes of the goldens. The second has its own way to say a thing.
var sparks = []plan.Node{
	{Name: "spark1", Host: "192.168.100.11", Values: schema.Values{"fabric_ip": schema.Plain("10.20.0.11"), "interface": schema.Plain("enp1s0f1np1")}},
	{Name: "spark2", Host: "192.168.100.12", Values: schema.Values{
		"fabric_ip": schema.Plain("10.20.0.12"), "interface": schema.Plain("enp1s0f0np0,enP2p1s0f0np0"), "env": map[string]schema.Text{"NCCL_IB_GID_INDEX": schema.Plain("5")},
	}},
	{Name: "local", Values: schema.Values{"fabric_ip": schema.Plain("10.20.0.10"), "interface": schema.Plain("eth1")}},
	{Name: "cloud1", Host: "10.0.0.1", Values: schema.Values{}},
	{Name: "cloud2", Host: "10.0.0.2", Values: schema.Values{}},
}

func parallel(sizes ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(sizes); i += 2 {
		out[sizes[i].(string)] = int64(sizes[i+1].(int))
	}
	return out
}

func image(name string) schema.Text { return schema.Plain(name) }

func texts(all ...string) []schema.Text {
	var out []schema.Text
	for _, s := range all {
		out = append(out, schema.Plain(s))
	}
	return out
}

// The launches of the frameworks on one DGX Spark as the engines' own instructions and
// published settings for it have them, and every neutral knob once.
var launches = map[string]plan.Server{
	// NVIDIA's 25.11 image with gpt-oss-20b: settings in a file.
	"vllm_spark": server("vllm", "openai/gpt-oss-20b", schema.Values{
		"image": image("nvcr.io/nvidia/vllm:25.11-py3"), "memory_fraction": 0.75, "max_num_seqs": int64(256), "max_batched_tokens": int64(8192), "prefix_caching": false,
		"env":    map[string]schema.Text{"VLLM_USE_FLASHINFER_MOE_MXFP4_BF16": schema.Plain("1"), "HF_TOKEN": schema.Secret("hf_secret")},
		"config": map[string]any{"kv-cache-dtype": schema.Plain("auto"), "compilation-config": map[string]any{"cudagraph_mode": schema.Plain("PIECEWISE")}, "async-scheduling": true},
	}, schema.Values{"swap_space": int64(16)}),
	"vllm_all": server("vllm", "m/x", schema.Values{
		"revision": schema.Plain("abc"), "served_name": schema.Plain("short"), "tokenizer": schema.Plain("t/x"), "memory_fraction": 0.4, "max_model_len": int64(262144), "max_num_seqs": int64(4),
		"max_batched_tokens": int64(8192), "kv_cache_dtype": schema.Plain("fp8"), "quantization": schema.Plain("modelopt"), "prefix_caching": true,
		"parallel": map[string]any{"tensor": int64(2), "pipeline": int64(3), "expert": int64(2), "data": int64(1)}, "args": texts("--moe-backend", "marlin"),
		"setup": texts("pip install 'x y'"),
	}, schema.Values{"attention_backend": schema.Plain("flashinfer"), "async_scheduling": true, "enable_log_requests": false, "speculative_config": map[string]any{"method": schema.Plain("mtp"), "num_speculative_tokens": int64(2)}, "middleware": []any{schema.Plain("a"), schema.Plain("b c")}, "seed": schema.Plain("-1")}),
	"vllm_openai_image": server("vllm", "m", schema.Values{"image": image("vllm/vllm-openai:v0.25.1-aarch64")}, nil),
	"sglang_spark": server("sglang", "openai/gpt-oss-20b", schema.Values{
		"image": image("lmsysorg/sglang:latest-cu130"), "memory_fraction": 0.75, "prefix_caching": false, "parallel": map[string]any{"tensor": int64(1)},
	}, schema.Values{"attention_backend": schema.Plain("triton")}),
	"sglang_all": server("sglang", "m/x", schema.Values{
		"revision": schema.Plain("abc"), "served_name": schema.Plain("short"), "tokenizer": schema.Plain("t/x"), "memory_fraction": 0.4, "max_model_len": int64(4096), "max_num_seqs": int64(4),
		"max_batched_tokens": int64(8192), "kv_cache_dtype": schema.Plain("fp8_e5m2"), "quantization": schema.Plain("modelopt_fp4"), "prefix_caching": true,
		"parallel": map[string]any{"tensor": int64(2), "pipeline": int64(3), "expert": int64(2), "data": int64(4)},
	}, nil),
	"trtllm_spark": server("trtllm", "openai/gpt-oss-20b", schema.Values{
		"image": image("nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13"), "memory_fraction": 0.9, "prefix_caching": false, "max_num_seqs": int64(64),
		"config": map[string]any{
			"print_iter_log": false, "kv_cache_config": map[string]any{"dtype": schema.Plain("auto")}, "cuda_graph_config": map[string]any{"enable_padding": true},
			"disable_overlap_scheduler": true, "enable_chunked_prefill": true, "moe_config": map[string]any{"backend": schema.Plain("CUTLASS")},
		},
	}, schema.Values{"trust_remote_code": true}),
	"trtllm_all": server("trtllm", "m/x", schema.Values{
		"tokenizer": schema.Plain("t/x"), "memory_fraction": 0.5, "max_model_len": int64(4096), "max_num_seqs": int64(4), "max_batched_tokens": int64(8192), "kv_cache_dtype": schema.Plain("fp8"),
		"prefix_caching": true, "parallel": map[string]any{"tensor": int64(2), "pipeline": int64(3), "expert": int64(2)},
	}, schema.Values{"backend": schema.Plain("pytorch")}),
	"llamacpp_spark": server("llamacpp", "ggml-org/gpt-oss-20b-GGUF", schema.Values{"max_num_seqs": int64(4), "max_model_len": int64(8192), "max_batched_tokens": int64(2048)},
		schema.Values{"ngl": int64(99), "fa": schema.Plain("on"), "mmap": false, "jinja": true}),
	"llamacpp_file": server("llamacpp", "/models/a b.gguf", schema.Values{"served_name": schema.Plain("a"), "kv_cache_dtype": schema.Plain("q8_0"), "prefix_caching": false}, schema.Values{"t": int64(1)}),
	"ollama":        server("ollama", "gpt-oss:20b", schema.Values{"max_num_seqs": int64(4), "max_model_len": int64(8192), "kv_cache_dtype": schema.Plain("q8_0")}, nil),
	"sim":           server("sim", "", nil, schema.Values{"ttft": schema.Plain("20ms")}),
	"command": server("command", "m", schema.Values{
		"command": texts("./serve it", "--port={port}", "--model", "{model}", `{"a": "$HOME"}`), "env": map[string]schema.Text{"A": schema.Plain("b c")},
	}, nil),
	"command_image": server("command", "m", schema.Values{
		"command": texts("serve"), "image": image("local/x:1"), "mounts": texts("/models:/models:ro"),
		"container": schema.Values{"shm_size": schema.Plain("32g"), "privileged": true, "devices": texts("/dev/infiniband"), "entrypoint": texts("/init", "-s")},
	}, nil),
}

// groups are servers on several nodes.
var groups = map[string]plan.Server{
	// As NVIDIA's playbook and the community's launchers have it without Ray.
	"two_vllm": onSparks(server("vllm", "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", schema.Values{
		"image": image("nvcr.io/nvidia/vllm:26.05-py3"), "memory_fraction": 0.8, "parallel": parallel("tensor", 2, "expert", 2),
		"env": map[string]schema.Text{"HF_TOKEN": schema.Secret("hf_secret"), "GLOO_SOCKET_IFNAME": schema.Plain("lo")},
	}, schema.Values{"enforce_eager": true})),
	"two_vllm_data":     onSparks(server("vllm", "m/x", schema.Values{"parallel": parallel("data", 4, "expert", 2)}, nil), "cloud1", "cloud2"),
	"two_vllm_ray":      onSparks(server("vllm", "m/x", schema.Values{"image": image("nvcr.io/nvidia/vllm:25.11-py3"), "launcher": schema.Plain("ray"), "parallel": parallel("tensor", 2)}, nil)),
	"two_vllm_ray_data": onSparks(server("vllm", "m/x", schema.Values{"launcher": schema.Plain("ray"), "parallel": parallel("data", 2, "expert", 2), "setup": texts("pip install 'ray[default]'")}, nil), "local", "spark2"),
	"two_sglang": onSparks(server("sglang", "openai/gpt-oss-120b", schema.Values{
		"image": image("lmsysorg/sglang:latest-cu130"), "parallel": parallel("tensor", 2), "config": map[string]any{"disable-cuda-graph": true},
	}, schema.Values{"attention_backend": schema.Plain("triton")})),
	"two_trtllm": onSparks(server("trtllm", "openai/gpt-oss-120b", schema.Values{
		"image": image("nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13"), "parallel": parallel("tensor", 2, "expert", 2), "max_num_seqs": int64(4),
		"config": map[string]any{"enable_chunked_prefill": true, "moe_config": map[string]any{"backend": schema.Plain("CUTLASS")}},
	}, nil)),
	"two_llamacpp": onSparks(server("llamacpp", "ggml-org/gpt-oss-120b-GGUF", nil, schema.Values{"ngl": int64(99)})),
	"two_command": onSparks(server("command", "m", schema.Values{
		"command": texts("serve", "--rank={rank}/{size}", "--meet={head}:{head_port}", "--me={ip}", "--on={node}", "--listen={host}:{port}"),
	}, nil), "local", "spark2"),
	"replicas": func() plan.Server {
		s := onSparks(server("vllm", "m/x", schema.Values{"image": image("nvcr.io/nvidia/vllm:26.05-py3"), "replicas": int64(2)}, nil))
		s.Port, s.Replicas, s.Balance = 0, 2, "least_busy"
		return s
	}(),
}

// TestLaunchGolden compares what plan prints of every launch with testdata/launch.
func TestLaunchGolden(t *testing.T) {
	covered := map[string]bool{}
	all := maps.Clone(launches)
	maps.Copy(all, groups)
	for name, s := range all {
		covered[s.Framework] = true
		got := strings.Join(Describe(s, sparks, targets.Facts{GPUs: true}), "\n") + "\n"
		path := filepath.Join("testdata", "launch", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, got, want)
		}
		f, _ := ByName(s.Framework)
		v := schema.Values{"options": s.Options, schema.RanksValue: s.Group(0)}
		for k, x := range s.Values {
			v[k] = x
		}
		if f.Kind().Check != nil {
			for _, p := range f.Kind().Check(v) {
				t.Errorf("%s: %s: %s", name, p.Attr, p.Detail)
			}
		}
		if strings.Contains(got, "hf_secret") {
			t.Errorf("%s shows a secret", name)
		}
	}
	for _, k := range Kinds() {
		if !covered[k.Name] && k.Name != "openai" {
			t.Errorf("no golden launch of %s", k.Name)
		}
	}
}

// TestTheSameKnobTwice: whatever says a thing a second time is an error, and so is what
// an engine cannot say.
func TestTheSameKnobTwice(t *testing.T) {
	for name, c := range map[string]struct {
		framework string
		v         schema.Values
		attr      string
		message   string
	}{
		"knob and option":      {"vllm", schema.Values{"max_num_seqs": int64(1), "options": schema.Values{"max-num-seqs": int64(2)}}, "options", "max-num-seqs is set by max_num_seqs already"},
		"knob and argument":    {"vllm", schema.Values{"max_num_seqs": int64(1), "args": texts("--max-num-seqs=2")}, "args", "--max-num-seqs is set by max_num_seqs already"},
		"knob and its no-form": {"vllm", schema.Values{"prefix_caching": true, "args": texts("--no-enable-prefix-caching")}, "args", "prefix_caching already"},
		"knob and file":        {"vllm", schema.Values{"max_num_seqs": int64(1), "config": map[string]any{"max-num-seqs": int64(2)}}, "config", "max_num_seqs already"},
		"option and file":      {"vllm", schema.Values{"options": schema.Values{"a": int64(1)}, "config": map[string]any{"a": int64(2)}}, "options", "config.a already"},
		"option and argument":  {"sglang", schema.Values{"options": schema.Values{"tp": int64(1)}, "args": texts("--tp", "2")}, "args", "options.tp already"},
		"ours":                 {"sglang", schema.Values{"options": schema.Values{"port": int64(1)}}, "options", "port is set by port already"},
		"knob in YAML":         {"trtllm", schema.Values{"memory_fraction": 0.5, "config": map[string]any{"kv_cache_config": map[string]any{"free_gpu_memory_fraction": 0.9}}}, "config", "memory_fraction already"},
		"no opposite":          {"trtllm", schema.Values{"options": schema.Values{"trust_remote_code": false}}, "options", "has no --no- form"},
		"unknown knob":         {"llamacpp", schema.Values{"memory_fraction": 0.5}, "memory_fraction", "llamacpp has no memory_fraction"},
		"unknown parallel":     {"llamacpp", schema.Values{"parallel": map[string]any{"tensor": int64(2)}}, "parallel", "parallel.tensor"},
		"slots":                {"llamacpp", schema.Values{"max_model_len": int64(5)}, "max_model_len", "set max_num_seqs too"},
		"file":                 {"llamacpp", schema.Values{"config": map[string]any{"a": int64(1)}}, "config", "reads no configuration file"},
		"ollama flags":         {"ollama", schema.Values{"options": schema.Values{"a": int64(1)}}, "options", "has no flags"},
		"command knob":         {"command", schema.Values{"command": texts("a"), "max_num_seqs": int64(1)}, "max_num_seqs", "says everything itself"},
		"mounts":               {"vllm", schema.Values{"mounts": texts("/a:/a")}, "mounts", "set image"},
		"balance":              {"vllm", schema.Values{"balance": schema.Plain("round_robin")}, "balance", "there is one"},
		"launcher of one":      {"vllm", schema.Values{"launcher": schema.Plain("ray")}, "launcher", "runs on one"},
		"launcher of command":  {"command", schema.Values{"command": texts("a"), "launcher": schema.Plain("ray"), schema.RanksValue: []string{"a", "b"}}, "launcher", "one way"},
		"launcher unknown":     {"vllm", schema.Values{"launcher": schema.Plain("srun"), "parallel": parallel("tensor", 2), schema.RanksValue: []string{"a", "b"}}, "launcher", "vllm has mp, ray"},
		"nothing spread":       {"vllm", schema.Values{schema.RanksValue: []string{"a", "b"}}, "parallel", "as in parallel = { tensor = 2 }, or set replicas = 2"},
		"spread unevenly":      {"sglang", schema.Values{"parallel": parallel("tensor", 4), schema.RanksValue: []string{"a", "b", "c"}}, "parallel", "multiple of the nodes"},
		"data unevenly":        {"vllm", schema.Values{"parallel": parallel("data", 2, "tensor", 2), schema.RanksValue: []string{"a", "b", "c", "d"}}, "parallel", "parallel.data is 2 on 4 nodes"},
		"ollama on two":        {"ollama", schema.Values{schema.RanksValue: []string{"a", "b"}}, "nodes", "ollama runs on one node"},
		"sim on two":           {"sim", schema.Values{schema.RanksValue: []string{"a", "b"}}, "nodes", "set replicas = 2"},
		"node twice":           {"vllm", schema.Values{"parallel": parallel("tensor", 2), schema.RanksValue: []string{"a", "a"}}, "nodes", "node.a is named twice"},
		"ours in a group":      {"vllm", schema.Values{"parallel": parallel("tensor", 2), "options": schema.Values{"master_port": int64(1)}, schema.RanksValue: []string{"a", "b"}}, "options", "master_port is set by nodes already"},
		"no command":           {"command", schema.Values{}, "command", "Set command"},
		"secret argument":      {"vllm", schema.Values{"args": []schema.Text{schema.Secret("x")}}, "args", "in env"},
		"secret file":          {"trtllm", schema.Values{"config": map[string]any{"a": []any{map[string]any{"b": schema.Secret("x")}}}}, "config", "in env"},
	} {
		f, _ := ByName(c.framework)
		problems := f.Kind().Check(c.v)
		if !slices.ContainsFunc(problems, func(p schema.Problem) bool { return p.Attr == c.attr && strings.Contains(p.Detail, c.message) }) {
			t.Errorf("%s: %v, want one of %s with %q", name, problems, c.attr, c.message)
		}
		c.v["url"] = schema.Plain("http://x/v1")
		if problems := f.Kind().Check(c.v); len(problems) > 0 {
			t.Errorf("%s: with a url: %v", name, problems)
		}
	}
}

// awkward are pieces of arguments that shells and launchers mangle.
var awkward = []string{" ", "'", `"`, "$HOME", "`id`", "\n", `\`, "{port}", "*", "é", "日本", "\t", "--x", "=", "#", "!", "%s", "{\"a\": [1, null]}", ""}

// TestArgumentsArriveByteForByte: through the shell that runs setup, and through the shell
// of somebody who copies the line of the plan.
func TestArgumentsArriveByteForByte(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var want []string
	for range 200 {
		arg := ""
		for range r.IntN(5) {
			arg += awkward[r.IntN(len(awkward))]
		}
		want = append(want, strings.ReplaceAll(arg, "{port}", "{p}"))
	}
	s := server("command", "m", schema.Values{"command": append(texts("printf", "%s\\0"), texts(want...)...), "setup": texts("true", "X=1")}, nil)
	l, err := launchCommand(s, targets.LaunchInput{Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.Join(want, "\x00") + "\x00"
	out, err := exec.Command(l[0].Argv[0], l[0].Argv[1:]...).Output()
	if err != nil || string(out) != joined {
		t.Errorf("through setup: %v\ngot  %q\nwant %q", err, out, joined)
	}
	var line strings.Builder
	for _, a := range append([]string{"printf", "%s\\0"}, want...) {
		fmt.Fprintf(&line, "%s ", Quote(a))
	}
	if out, err := exec.Command("sh", "-c", line.String()).Output(); err != nil || string(out) != joined {
		t.Errorf("quoted: %v\ngot  %q\nwant %q", err, out, joined)
	}
}
