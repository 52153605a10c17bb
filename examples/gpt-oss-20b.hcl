# gpt-oss-20b in vLLM, SGLang and TensorRT-LLM on one DGX Spark, one after the other, with
# the settings that are published for it; run it on the Spark itself:
#   HF_TOKEN=… sparkrun apply examples/gpt-oss-20b.hcl
# Images are large: the first start of each pulls its own. Tags move; for results that can
# be repeated, set the variables to digests (name@sha256:…).

variable "model" {
  type    = string
  default = "openai/gpt-oss-20b"
}

variable "vllm_image" {
  type    = string
  default = "nvcr.io/nvidia/vllm:25.11-py3"
}

variable "sglang_image" {
  type    = string
  default = "lmsysorg/sglang:spark"
}

variable "trtllm_image" {
  type    = string
  default = "nvcr.io/nvidia/tensorrt-llm/release:spark-single-gpu-dev"
}

variable "concurrency" {
  type    = list(number)
  default = [1, 4, 16, 64]
}

server "vllm" {
  image              = var.vllm_image
  model              = var.model
  memory_fraction    = 0.75
  max_num_seqs       = 256
  max_batched_tokens = 8192
  kv_cache_dtype     = "auto" # this model's kernels refuse bf16
  prefix_caching     = false
  options = {
    async_scheduling = true
  }
  env = {
    VLLM_USE_FLASHINFER_MOE_MXFP4_BF16 = "1"
    HF_TOKEN                           = try(env("HF_TOKEN"), null)
  }
}

server "sglang" {
  image           = var.sglang_image
  model           = var.model
  memory_fraction = 0.75
  prefix_caching  = false
  parallel = {
    tensor = 1
  }
  options = {
    attention_backend = "triton" # the others do not know this model's attention sinks
  }
  env = {
    HF_TOKEN = try(env("HF_TOKEN"), null)
  }
}

server "trtllm" {
  image           = var.trtllm_image
  model           = var.model
  memory_fraction = 0.9
  max_num_seqs    = 64
  kv_cache_dtype  = "auto"
  prefix_caching  = false
  config = {
    print_iter_log            = false
    cuda_graph_config         = { enable_padding = true }
    disable_overlap_scheduler = true
    enable_chunked_prefill    = true # without it, answers have no usage
    moe_config                = { backend = "CUTLASS" }
  }
  options = {
    trust_remote_code = true
  }
  env = {
    HF_TOKEN = try(env("HF_TOKEN"), null)
  }
}

dataset "prompts" {
  type  = "synthetic"
  shape = "D(2048,128)"
}

benchmark "single_turn" {
  matrix {
    server      = [server.vllm, server.sglang, server.trtllm]
    concurrency = var.concurrency
  }
  server  = matrix.server
  dataset = dataset.prompts
  repeat  = 3

  phase "warmup" {
    requests    = 2 * matrix.concurrency
    concurrency = matrix.concurrency
  }

  phase "steady" {
    duration     = "2m"
    min_requests = 100
    max_duration = "20m"
    concurrency  = matrix.concurrency
  }

  request {
    timeout = "10m"
    body = {
      reasoning_effort = "low"
    }
  }
}
