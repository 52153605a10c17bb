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

  conversations {
    active = 1 # ERROR: below the concurrency 2
  }

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
