generator {
  launcher = "mpi" # ERROR: launcher is "mpi": it must be one of local, ssh, mpirun, srun
  per_nodes = 2 # ERROR: Did you mean "per_node"?
}
generator { # ERROR: There is one generator in a scenario
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
