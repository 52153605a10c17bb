server "a" {
  framework       = "sim"
  memory_fraction = 0.5 # ERROR: takes no memory_fraction
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
