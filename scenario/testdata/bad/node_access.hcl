node "spark1" {
  host        = "spark1"
  access      = "vpn" # ERROR: access
  drop_caches = "maybe" # ERROR: drop_caches
}

node "local" {
  access = "ssh_tunnel" # ERROR: node.local is this machine
}

server "a" {
  framework = "sim"
  nodes     = [node.spark1]
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  server  = server.a
  dataset = dataset.short

  phase "steady" {
    requests    = 4
    concurrency = 2
  }
}
