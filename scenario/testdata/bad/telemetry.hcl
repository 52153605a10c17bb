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

  telemetry {
    interval = "10ms" # ERROR: interval is 10ms: it must be at least 100ms
    sources  = ["gpus", "node"] # ERROR: There is no source "gpus". Did you mean "gpu"?
  }

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
