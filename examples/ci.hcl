# A gate for CI: the run ends with exit code 4 if a threshold is not met.
#   sparkrun apply examples/ci.hcl

server "engine" {
  framework = "sim" # sparkrun's simulator: nothing is measured of a real engine
  options = {
    ttft = "20ms"
    itl  = "2ms"
  }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(128,32)" # tokens in, tokens out
}

benchmark "gate" {
  server  = server.engine
  dataset = dataset.short
  api     = "chat"

  # Not measured: a phase of this name warms the server up.
  phase "warmup" {
    requests    = 8
    concurrency = 4
  }

  phase "steady" {
    requests    = 200
    concurrency = 4
  }

  request {
    output = "forced" # answers have their full length; natural: they end by themselves
  }

  # Its share of requests is the goodput.
  slo "interactive" {
    condition = request.ttft_ms <= 500 && request.tpot_ms <= 50
  }
}

# What your users need; any number of summary.json may stand here.
threshold "ttft" {
  condition     = result.ttft_ms.p99 < 500
  error_message = "p99 TTFT is 500 ms or more."
}

threshold "everything_answered" {
  condition     = result.requests.success_rate == 1
  error_message = "A request failed."
}

# With --baseline RUN: not slower than it was.
#   condition = result.output_tokens_per_s >= 0.95 * baseline.output_tokens_per_s

sink "junit" {}

sink "markdown" {} # for the pull request

sink "json" {}
