dataset "d" {
  type = "synthetic"
  shape = "D(8,8)"
}

benchmark "x" {
  server = server.b
  dataset = dataset.d
  phase "p" {
    requests = 4
    concurrency = 1
  }
}

server "a" {
  framework = "command"
  command   = ["serve", "--port", "{port}"]
  ready {
    deadline = 30 # ERROR: it must be a duration in quotes
    patience = "1s" # ERROR: A ready has no attribute "patience"
  }
  stop {
    grace = "1s"
  }
  stop { # ERROR: A server has one stop block
  }
}

server "b" { # ERROR: Set command = ["program"
  framework = "command"
}
