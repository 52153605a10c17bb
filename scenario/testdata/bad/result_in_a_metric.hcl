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

  metric "m" {
    value = result.ttft_ms.p50 * 2 # ERROR: computed from request.*
  }

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
