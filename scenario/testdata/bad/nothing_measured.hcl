server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" { # ERROR: No phase of benchmark "b" has measure = true
  server  = server.a
  dataset = dataset.d

  phase "warmup" {
    requests    = 10
    concurrency = 2
  }
}
