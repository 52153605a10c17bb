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


  telemetry { # ERROR: not in this version
  }

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
