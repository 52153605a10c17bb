node "spark1" {
  host = "192.168.100.11"
}
generator {
  nodes    = [node.spark1]
  launcher = "ssh"
  hostfile = "mpi_hosts" # ERROR: a hostfile is for launcher = "mpirun" or "srun"
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
