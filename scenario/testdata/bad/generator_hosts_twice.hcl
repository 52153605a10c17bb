node "spark1" {
  host = "192.168.100.11"
}
generator {
  nodes    = [node.spark1]
  launcher = "mpirun"
  hostfile = "mpi_hosts" # ERROR: nodes and hostfile are both set: keep one
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
