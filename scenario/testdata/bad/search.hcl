server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
phase "steady" {
  duration    = "10s"
  concurrency = search.value # ERROR: search.value is what a search tries
}
benchmark "none" {
  server  = server.a
  dataset = dataset.d
  phases  = [phase.steady]
}
benchmark "goal" {
  server  = server.a
  dataset = dataset.d
  phases  = [phase.steady]
  slo "fast" {
    condition = request.ttft_ms < 100
  }
  search "users" {
    vary    = "concurrency"
    between = [64, 1]  # ERROR: two numbers above 0, the smaller first
    goal    = slo.fist # ERROR: Did you mean "fast"?
  }
}
benchmark "unused" {
  server  = server.a
  dataset = dataset.d
  phase "steady" {
    duration    = "10s"
    concurrency = 4
  }
  search "users" { # ERROR: No phase of benchmark "unused" uses search.value
    vary    = "concurrency"
    between = [1, 64]
    goal    = result.ttft_ms.p50 < 100
  }
}
benchmark "attain" {
  server  = server.a
  dataset = dataset.d
  phases  = [phase.steady]
  search "users" {
    vary      = "speed" # ERROR: vary
    between   = [1, 64]
    goal      = result.ttft_ms.p50 < 100
    attain    = 0.9 # ERROR: attain is the share of requests that meet an slo
    precision = 0   # ERROR: precision must be between 0 and 1
  }
}
benchmark "fine" {
  matrix {
    run = range(200)
  }
  server  = server.a
  dataset = dataset.d
  phases  = [phase.steady]
  search "users" {
    vary      = "rate"
    between   = [1, 1000]
    goal      = result.ttft_ms.p50 < 100
    precision = 0.1 # ERROR: 200 cells that may try 74 values each are more than 10000 measurements
  }
}
benchmark "finest" {
  server  = server.a
  dataset = dataset.d
  phases  = [phase.steady]
  search "users" {
    vary      = "rate"
    between   = [1, 1000]
    goal      = result.ttft_ms.p50 < 100
    precision = 0.001 # ERROR: more than 1000 values to try
  }
}
