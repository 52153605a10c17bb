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

threshold "t" {
  condition     = result.ttft.p99 < 5 # ERROR: Did you mean result.ttft_ms.p99?
  error_message = "slow"
}
