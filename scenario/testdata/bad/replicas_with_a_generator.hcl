server "a" {
  framework = "sim"
  replicas  = 2 # ERROR: The workers of a generator send to one server
}
generator {
  per_node = 2
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
