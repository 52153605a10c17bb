node "spark1" {
  host = "192.168.100.11"
}
generator {
  nodes    = [node.spark1]
  per_node = 33 # ERROR: each worker of ssh holds a session
}
server "a" {
  framework = "sim"
  nodes     = [node.spark1]
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
