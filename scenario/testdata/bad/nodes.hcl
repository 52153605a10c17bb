node "local" {
  host      = "127.0.0.1" # ERROR: node.local is this machine: leave host out
  fabric_ip = "10.20.0.11"
}
node "nameless" { # ERROR: Set host (address, or an alias of ~/.ssh/config), or hostfile
  fabric_ip = "spark1" # ERROR: fabric_ip is "spark1": write the address itself
  interface = "eth0, eth1" # ERROR: several with commas and no blanks
}
node "lab" {
  hostfile  = "mpi_hosts_that_is_not_there" # ERROR: File that can't be read
}
node "both" {
  hostfile  = "nodes.hcl"
  host      = "a" # ERROR: host is of one machine, and hostfile makes the block a group
}
node "broken" {
  hostfile  = "nodes.hcl" # ERROR: after the host is not understood: slots=N and max_slots=N are
}
server "a" {
  framework = "sim"
  nodes     = ["spark1"] # ERROR: nodes must be a list of nodes
}
server "b" {
  framework = "sim"
  nodes     = [node.local, node.local, node.local]
  replicas  = 2 # ERROR: has 3 nodes for 2 replicas
}
server "c" {
  framework = "sim"
  port      = 8000 # ERROR: each of the 2 replicas of server.c needs one of its own
  replicas  = 2
}
server "d" {
  framework = "sim"
  replicas  = 0 # ERROR: replicas is 0
}
server "g" {
  framework = "vllm"
  url       = "http://127.0.0.1:8000"
  replicas  = 2 # ERROR: starts no replicas of it
}
node "named" {
  host = "spark1"
}
node "addressed" {
  host = "10.0.0.1"
}
server "h" {
  framework = "command"
  command   = ["a"]
  nodes     = [node.addressed, node.named] # ERROR: must reach node.named, whose host is a name: set its fabric_ip
}
server "i" {
  framework = "command"
  command   = ["a"]
  nodes     = [node.addressed, node.addressed, node.named, node.named]
  replicas  = 2
}
server "f" {
  framework = "sim"
  replicas  = 2
  balance   = "random" # ERROR: balance is "random"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.f
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
