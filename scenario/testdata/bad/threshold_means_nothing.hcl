server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}

threshold "t" { # ERROR: No cell has the phase and axis values
  condition     = result.ttft_ms.p99 < 5
  error_message = "slow"
  where         = { concurrency = 99 }
}
