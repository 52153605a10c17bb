node "spark1" {
  host = "192.168.100.11"
}
generator {
  per_node = 2
}
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
  phase "steady" {
    requests    = 10
    rate            = 2
    max_concurrency = 4 # ERROR: max_concurrency of phase "steady" would mean something else
  }
}
