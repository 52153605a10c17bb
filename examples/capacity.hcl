# How many users does a server bear? A search for the highest concurrency at which 95 % of
# the requests begin within 300 ms and go on at 30 ms a token or faster, confirmed twice.
#   sparkrun apply examples/capacity.hcl                                      # on the simulator
#   sparkrun apply examples/capacity.hcl --var url=http://127.0.0.1:8000/v1   # on a real server

variable "url" {
  type        = string
  default     = ""
  description = "Server that is running already; without it the simulator."
}

variable "seconds" {
  type        = number
  default     = 30
  description = "Length of each measurement."
}

server "simulated" {
  framework = "sim"
  options = {
    preset = "spark-gpt-oss-20b-vllm"
  }
}

server "endpoint" {
  framework = "openai"
  url       = var.url == "" ? "http://127.0.0.1:8000/v1" : var.url
}

dataset "chat" {
  type  = "synthetic"
  shape = "D(128,32)"
}

benchmark "capacity" {
  server  = var.url == "" ? server.simulated : server.endpoint
  dataset = dataset.chat

  phase "warmup" {
    requests    = search.value
    concurrency = search.value
  }

  phase "steady" {
    duration    = "${var.seconds}s"
    concurrency = search.value
  }

  slo "interactive" {
    condition = request.ttft_ms <= 300 && request.tpot_ms <= 30
  }

  search "users" {
    vary      = "concurrency"
    between   = [1, 64]
    goal      = slo.interactive
    attain    = 0.95
    precision = 0.05
    confirm   = 2
  }
}

threshold "enough" {
  condition     = result.search.value >= 2
  error_message = "The server does not bear two users."
}
