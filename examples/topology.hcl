# Two DGX Sparks with one cable between them: is a model faster on one of them, spread
# over both (tensor parallelism), or twice, once on each (replicas)? One table with the
# three side by side, at 1 to 64 users. The prefix cache counts, so it is a chat of
# several turns; a conversation stays with the replica where it began. Write your nodes'
# addresses first:
#   sparkrun doctor examples/topology.hcl    # what the nodes say of themselves
#   sparkrun plan examples/topology.hcl      # every rank's command, with its node

variable "model" {
  type    = string
  default = "openai/gpt-oss-120b"
}

variable "image" {
  type    = string
  default = "nvcr.io/nvidia/vllm:26.05-py3"
}

variable "concurrency" {
  type    = list(number)
  default = [1, 4, 16, 64]
}

# What the nodes say to each other takes the interface that is named here, by RDMA. The
# names are those of `ibdev2netdev`; both halves of a port make it twice as fast:
# "enp1s0f1np1,enP2p1s0f1np1".
node "spark1" {
  host      = "192.168.100.11" # or an alias of ~/.ssh/config
  user      = "nvidia"
  fabric_ip = "10.20.0.11"
  interface = "enp1s0f1np1"
}

node "spark2" {
  host      = "192.168.100.12"
  user      = "nvidia"
  fabric_ip = "10.20.0.12"
  interface = "enp1s0f1np1"
}

server "solo" {
  framework       = "vllm"
  nodes           = [node.spark1]
  image           = var.image
  model           = var.model
  memory_fraction = 0.8
}

server "tp2" {
  framework       = "vllm"
  nodes           = [node.spark1, node.spark2] # rank 0, rank 1
  parallel        = { tensor = 2 }
  image           = var.image
  model           = var.model
  memory_fraction = 0.8
}

server "dp2" {
  framework       = "vllm"
  nodes           = [node.spark1, node.spark2] # replica 0, replica 1
  replicas        = 2
  balance         = "least_busy"
  image           = var.image
  model           = var.model
  memory_fraction = 0.8
}

dataset "chat" {
  type                 = "synthetic"
  turns                = uniform(4, 8)
  shared_prefix_tokens = 500
  input_tokens         = uniform(120, 160)
  output_tokens        = uniform(120, 160)
}

phase "warmup" {
  requests    = 2 * matrix.concurrency
  concurrency = matrix.concurrency
}

phase "steady" {
  duration     = "2m"
  min_requests = 100
  max_duration = "20m"
  concurrency  = matrix.concurrency
}

benchmark "topology" {
  matrix {
    server      = [server.solo, server.tp2, server.dp2]
    concurrency = var.concurrency
  }
  server  = matrix.server
  dataset = dataset.chat
  phases  = [phase.warmup, phase.steady]
  repeat  = 3
}
