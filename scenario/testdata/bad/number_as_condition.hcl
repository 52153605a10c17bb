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

  slo "fast" {
    condition = request.ttft_ms + 1 # ERROR: must be a condition
  }

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
