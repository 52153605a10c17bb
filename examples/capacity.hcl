# How many users does a server bear? A search for the highest concurrency at which 95 % of
# the requests begin within 300 ms and go on at 30 ms a token or faster, confirmed twice.
#   sparkrun apply examples/capacity.hcl

variable "seconds" {
  type        = number
  default     = 30
  description = "Length of each measurement."
}

server "engine" {
  framework = "sim" # sparkrun's simulator: nothing is measured of a real engine
  options = {
    preset = "spark-gpt-oss-20b-vllm"
  }
}

dataset "chat" {
  type  = "synthetic"
  shape = "D(128,32)" # tokens in, tokens out
}

benchmark "capacity" {
  server  = server.engine
  dataset = dataset.chat
  api     = "chat"

  # Not measured: a phase of this name warms the server up.
  phase "warmup" {
    requests    = search.value
    concurrency = search.value
  }

  phase "steady" {
    duration    = "${var.seconds}s"
    concurrency = search.value
  }

  request {
    output = "forced" # answers have their full length; natural: they end by themselves
  }

  slo "interactive" {
    condition = request.ttft_ms <= 300 && request.tpot_ms <= 30
  }

  search "users" {
    vary      = "concurrency"
    between   = [1, 256]
    goal      = slo.interactive
    attain    = 0.95
    precision = 0.05
    confirm   = 2
  }
}

# Exit code 4 if it is not met.
threshold "enough" {
  condition     = result.search.value >= 2
  error_message = "The server does not bear two users."
}
