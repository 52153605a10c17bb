node "spark1" {
  host = "192.168.100.11"
}
generator {
  launcher = "local"
  nodes    = [node.spark1] # ERROR: leave nodes out, or set launcher = "ssh"
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
