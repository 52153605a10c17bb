package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// launchScenario is one server on nodes like those of the frameworks' golden launches.
const launchScenario = `
node "spark" {
  host   = "192.168.100.10"
  access = "ssh_tunnel"
}

node "spark1" {
  host      = "192.168.100.11"
  fabric_ip = "10.20.0.11"
  interface = "enp1s0f1np1"
}

node "spark2" {
  host      = "192.168.100.12"
  fabric_ip = "10.20.0.12"
  interface = "enp1s0f0np0,enP2p1s0f0np0"
  env       = { NCCL_IB_GID_INDEX = "5" }
}

server "x" {
  port = 8000
%s
}

dataset "short" {
  type  = "synthetic"
  shape = "D(8,8)"
}

benchmark "chat" {
  server  = server.x
  dataset = dataset.short
  phase "steady" {
    requests    = 1
    concurrency = 1
  }
}
`

// TestPlanPrintsLaunches: plan prints the launches that the frameworks' tests compare with the
// engines' own instructions: command, environment, files, mounts, each rank's.
func TestPlanPrintsLaunches(t *testing.T) {
	t.Parallel()
	const one, two = "  nodes = [node.spark]\n", "  nodes = [node.spark1, node.spark2]\n"
	for golden, server := range map[string]string{
		"vllm_spark": one + `
  framework          = "vllm"
  model              = "openai/gpt-oss-20b"
  image              = "nvcr.io/nvidia/vllm:25.11-py3"
  memory_fraction    = 0.75
  max_num_seqs       = 256
  max_batched_tokens = 8192
  prefix_caching     = false
  env                = { VLLM_USE_FLASHINFER_MOE_MXFP4_BF16 = "1", HF_TOKEN = env("HF_TOKEN") }
  config             = { kv-cache-dtype = "auto", compilation-config = { cudagraph_mode = "PIECEWISE" }, async-scheduling = true }
  options            = { swap_space = 16 }`,
		"sglang_spark": one + `
  framework       = "sglang"
  model           = "openai/gpt-oss-20b"
  image           = "lmsysorg/sglang:latest-cu130"
  memory_fraction = 0.75
  prefix_caching  = false
  parallel        = { tensor = 1 }
  options         = { attention_backend = "triton" }`,
		"trtllm_spark": one + `
  framework       = "trtllm"
  model           = "openai/gpt-oss-20b"
  image           = "nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13"
  memory_fraction = 0.9
  prefix_caching  = false
  max_num_seqs    = 64
  config = {
    print_iter_log            = false
    kv_cache_config           = { dtype = "auto" }
    cuda_graph_config         = { enable_padding = true }
    disable_overlap_scheduler = true
    enable_chunked_prefill    = true
    moe_config                = { backend = "CUTLASS" }
  }
  options = { trust_remote_code = true }`,
		"two_vllm": two + `
  framework       = "vllm"
  model           = "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8"
  image           = "nvcr.io/nvidia/vllm:26.05-py3"
  memory_fraction = 0.8
  parallel        = { tensor = 2, expert = 2 }
  env             = { HF_TOKEN = env("HF_TOKEN"), GLOO_SOCKET_IFNAME = "lo" }
  options         = { enforce_eager = true }`,
		"two_sglang": two + `
  framework = "sglang"
  model     = "openai/gpt-oss-120b"
  image     = "lmsysorg/sglang:latest-cu130"
  parallel  = { tensor = 2 }
  config    = { disable-cuda-graph = true }
  options   = { attention_backend = "triton" }`,
		"two_trtllm": two + `
  framework    = "trtllm"
  model        = "openai/gpt-oss-120b"
  image        = "nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13"
  parallel     = { tensor = 2, expert = 2 }
  max_num_seqs = 4
  config       = { enable_chunked_prefill = true, moe_config = { backend = "CUTLASS" } }`,
		"two_llamacpp": two + `
  framework = "llamacpp"
  model     = "ggml-org/gpt-oss-120b-GGUF"
  options   = { ngl = 99 }`,
	} {
		t.Run(golden, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("../../targets/framework/testdata/launch", golden+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := sparkrunIn(t, folderWith(t, fmt.Sprintf(launchScenario, server)), []string{"HF_TOKEN=hf_secret", "COLUMNS=100"}, "plan", "scenario.hcl")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(want)) {
				if line = strings.TrimSpace(line); !strings.Contains(out, line) {
					t.Errorf("plan lacks\n%s\nin\n%s", line, out)
				}
			}
			if strings.Contains(out, "hf_secret") {
				t.Error("the token is shown")
			}
		})
	}
}
