server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
phase "steady" {
  requests    = 10
  concurrency = matrix.users # ERROR: benchmark "b" has no axis "users"
}

benchmark "b" {
  matrix {
    concurrency = [1, 2]
  }
  server  = server.a
  dataset = dataset.d
  phases  = [phase.steady]
}
