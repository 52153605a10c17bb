# Three simulated engines under 1, 4 and 16 users: the whole product in under a minute,
# with nothing installed. The servers are sparkrun's own simulator with the speeds of
# engines measured on a DGX Spark; nothing here is a measurement of a real engine.
#   sparkrun apply examples/quickstart.hcl
#   sparkrun apply examples/quickstart.hcl --var concurrency=8,32 --only server=vllm

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

# Not measured: a phase of this name warms the server up.
phase "warmup" {
  requests    = matrix.concurrency
  concurrency = matrix.concurrency
}

phase "steady" {
  duration     = "2s"
  min_requests = 30 # it goes on until there are so many
  concurrency  = matrix.concurrency
}

# A cell for each server with each number of users: 9.
benchmark "chat" {
  matrix {
    server      = [server.vllm, server.sglang, server.llamacpp]
    concurrency = var.concurrency
  }
  server  = matrix.server
  dataset = dataset.chat
  phases  = [phase.warmup, phase.steady]
}

# Without a sink block: a table here, report.xlsx and report.html in the run's folder.
