node "spark1" {
  host = "192.168.100.11"
}
generator {
  per_node = 0 # ERROR: per_node is 0: it must be from 1 to 256
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
    concurrency = 2
  }
}
