node "spark1" {
  host = "192.168.100.11"
}
node "spark2" {
  host   = "192.168.100.12"
  access = "ssh_tunnel"
}
generator {
  nodes = [node.local, node.spark1]
}
server "a" { # ERROR: server.a listens on this machine for itself, and workers on spark1 would send to it
  framework = "sim"
}
server "b" {
  framework = "sim"
  nodes     = [node.spark2] # ERROR: server.b is reached through the SSH connection of this machine (access = "ssh_tunnel" of node.spark2), and workers on spark1 would send to it
}
server "c" {
  framework = "openai"
  url       = "http://localhost:8000" # ERROR: workers on spark1 would look for server.c on their own machine
  model     = "m"
}
server "d" {
  framework = "sim"
  replicas  = 2
  nodes     = [node.spark1, node.local] # ERROR: server.d listens on this machine for itself, and workers on spark1 would send to it
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  matrix {
    server = [server.a, server.b, server.c, server.d]
  }
  server  = matrix.server
  dataset = dataset.d
  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
