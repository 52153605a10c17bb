# A gate for CI: the run ends with exit code 4 if a threshold is not met.
#   sparkrun apply examples/ci.hcl

server "engine" {
  framework = "sim"
  options = {
    ttft = "20ms"
    itl  = "2ms"
  }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(128,32)"
}

benchmark "gate" {
  server  = server.engine
  dataset = dataset.short

  phase "warmup" {
    requests    = 8
    concurrency = 4
  }

  phase "steady" {
    requests    = 200
    concurrency = 4
  }

  slo "interactive" {
    condition = request.ttft_ms <= 100 && request.tpot_ms <= 20
  }
}

threshold "ttft" {
  condition     = result.ttft_ms.p99 < 100
  error_message = "p99 TTFT is 100 ms or more."
}

threshold "everything_answered" {
  condition     = result.requests.success_rate == 1
  error_message = "A request failed."
}

sink "json" {}

sink "jsonl" {}
