# A recorded trace is replayed: requests arrive when they arrived, with the lengths they had,
# and share the beginnings they shared. Here on the simulator, with and without prefix caching,
# four times as fast as it was recorded.
#   sparkrun apply examples/trace.hcl
#   sparkrun apply examples/trace.hcl --var file=conversation_trace.jsonl --var to=10m --var speed=1
# Public traces: Mooncake (github.com/kvcache-ai/Mooncake, FAST25-release/traces), BurstGPT
# (github.com/HPMLL/BurstGPT), Azure (github.com/Azure/AzurePublicDataset).

variable "file" {
  type        = string
  default     = "data/trace.jsonl" # made up, in Mooncake's form: 80 requests in 25 s
  description = "Trace of Mooncake, BurstGPT or Azure."
}

variable "to" {
  type        = string
  default     = "25s"
  description = "How much of the trace is played."
}

variable "speed" {
  type    = number
  default = 4
}

server "cached" {
  framework = "sim"
  options = {
    prefill_tokens_per_s = 20000
    prefix_caching       = true
  }
}

server "uncached" {
  framework = "sim"
  options = {
    prefill_tokens_per_s = 20000
    prefix_caching       = false
  }
}

dataset "service" {
  type = "trace"
  path = var.file
  to   = var.to
}

benchmark "replay" {
  matrix {
    server = [server.cached, server.uncached]
  }
  server  = matrix.server
  dataset = dataset.service

  phase "trace" {
    replay          = true
    speed           = var.speed
    max_concurrency = 256
  }
}
