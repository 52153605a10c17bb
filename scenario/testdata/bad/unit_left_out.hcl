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
    condition = request.ttft <= 100 # ERROR: Did you mean request.ttft_ms?
  }

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
