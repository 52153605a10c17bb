node "spark1" {
  host = "192.168.100.11"
}
generator {
  launcher = "srun"
  nodes    = [node.local] # ERROR: srun knows machines by their names
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
