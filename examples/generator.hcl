# The load comes from four processes on this machine, which share it: each arrival of the
# schedule leaves once, from one of them. One process of sparkrun sends and reads with one
# core's share of the work in its engine; several spread it, on this machine or on others.
#   sparkrun apply examples/generator.hcl --var workers=4
#
# From other machines over SSH (sparkrun brings itself there):
#   generator {
#     nodes = [node.spark1, node.spark2]
#   }
# or by mpirun or srun (sparkrun must be there, under the same path or --worker-binary's):
#   generator {
#     hostfile = "mpi_hosts" # as mpirun has it: "spark1 slots=2", a line a host
#   }

variable "workers" {
  type    = number
  default = 4
}

generator {
  per_node = var.workers
}

server "sim" {
  options = {
    ttft = "20ms"
    itl  = "2ms"
  }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(128,32)"
}

benchmark "open_loop" {
  server  = server.sim
  dataset = dataset.short

  phase "warmup" {
    requests    = 16
    concurrency = 8
  }

  phase "steady" {
    duration = "5s"
    rate     = 50
  }
}

sink "json" {}
