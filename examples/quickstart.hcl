# Three simulated engines under 1, 4 and 16 users: the whole product in under a minute,
# with nothing installed. The servers are sparkrun's own simulator with the speeds of
# engines measured on a DGX Spark; nothing here is a measurement of a real engine.

variable "concurrency" {
  type        = list(number)
  default     = [1, 4, 16]
  description = "Users at a time."
}

server "vllm" {
  framework = "sim"
  options = {
    preset = "spark-gpt-oss-20b-vllm"
  }
}

server "sglang" {
  framework = "sim"
  options = {
    preset = "spark-gpt-oss-20b-sglang"
  }
}

server "llamacpp" {
  framework = "sim"
  options = {
    preset = "spark-gpt-oss-20b-llamacpp"
  }
}

dataset "chat" {
  type  = "synthetic"
  shape = "D(128,12)" # 128 tokens in, 12 out
}

phase "warmup" {
  requests    = matrix.concurrency
  concurrency = matrix.concurrency
}

phase "steady" {
  duration     = "2s"
  min_requests = 30
  concurrency  = matrix.concurrency
}

benchmark "chat" {
  matrix {
    server      = [server.vllm, server.sglang, server.llamacpp]
    concurrency = var.concurrency
  }
  server  = matrix.server
  dataset = dataset.chat
  phases  = [phase.warmup, phase.steady]
}
