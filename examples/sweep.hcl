# Three engines on two DGX Sparks under 1 to 64 users, five times each, with a chat of
# several turns. It plans on any machine; apply starts the servers on the nodes over SSH.

variable "model" {
  type    = string
  default = "openai/gpt-oss-20b"
}

variable "concurrency" {
  type    = list(number)
  default = [1, 4, 16, 64]
  validation {
    condition     = alltrue([for c in var.concurrency : c >= 1])
    error_message = "Every concurrency must be at least 1."
  }
}

node "spark1" {
  host      = "192.168.100.11" # or an alias of ~/.ssh/config
  user      = "nvidia"
  fabric_ip = "10.20.0.11" # the ConnectX side: NCCL and the engines' own traffic
}

node "spark2" {
  host      = "192.168.100.12"
  user      = "nvidia"
  fabric_ip = "10.20.0.12"
}

server "vllm" {
  nodes           = [node.spark1]
  image           = "nvcr.io/nvidia/vllm:26.05-py3"
  model           = var.model
  memory_fraction = 0.75
  max_num_seqs    = 256
  env = {
    VLLM_USE_FLASHINFER_MOE_MXFP4_BF16 = "1"
  }
}

server "sglang" {
  nodes           = [node.spark1]
  image           = "lmsysorg/sglang:latest-cu130"
  model           = var.model
  memory_fraction = 0.75
  options = {
    attention_backend = "triton"
  }
}

server "trtllm_tp2" {
  framework = "trtllm"
  nodes     = [node.spark1, node.spark2]
  image     = "nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13"
  model     = var.model
  parallel = {
    tensor = 2
    expert = 2
  }
  config = { # written as the engine's own YAML file on every node
    kv_cache_config        = { free_gpu_memory_fraction = 0.9, enable_block_reuse = false }
    enable_chunked_prefill = true
    moe_config             = { backend = "CUTLASS" }
  }
}

dataset "chat" {
  type                 = "synthetic"
  conversations        = 24
  turns                = uniform(6, 9)
  shared_prefix_tokens = 500
  prefix_tokens        = lognormal({ mean = 1000, max = 5000 })
  input_tokens         = uniform(120, 160)
  output_tokens        = uniform(80, 120)
}

phase "warmup" {
  requests    = 2 * matrix.concurrency
  concurrency = matrix.concurrency
}

phase "ramp" {
  duration    = "20s"
  concurrency = ramp(1, matrix.concurrency)
}

phase "steady" {
  duration     = "2m"
  min_requests = 100
  max_duration = "20m"
  concurrency  = matrix.concurrency
}

benchmark "multi_turn" {
  matrix {
    server      = [server.vllm, server.sglang, server.trtllm_tp2]
    concurrency = var.concurrency
  }
  server  = matrix.server
  dataset = dataset.chat
  phases  = [phase.warmup, phase.ramp, phase.steady]
  repeat  = 5

  conversations {
    active   = max(12, matrix.concurrency)
    sampling = "round_robin"
  }

  request {
    timeout = "10m"
    body = {
      reasoning_effort = "low"
    }
  }

  slo "interactive" {
    condition = request.ttft_ms <= 500 && request.tpot_ms <= 50
  }

  metric "custom_score" {
    value = request.ttft_ms / request.output_tokens
    unit  = "ms/token"
  }
}

threshold "ttft_budget" {
  condition     = result.ttft_ms.p99 < 2000
  error_message = "p99 TTFT over 2 s"
}

sink "excel" {}

sink "html" {}

sink "conversations" {
  path = "answers.json"
}
