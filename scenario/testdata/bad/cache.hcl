server "off" {
  framework = "sim"
  options = {
    prefix_caching = false
  }
}

server "theirs" {
  framework = "openai"
  url       = "http://h:1"
}

server "sim" {}

dataset "endless" {
  type  = "synthetic"
  shape = "D(10,2)"
}

benchmark "off" {
  server  = server.off
  dataset = dataset.endless
  cache   = "primed" # ERROR: Cache that is switched off

  phase "steady" {
    requests    = 10
    concurrency = 1
  }
}

benchmark "endless" {
  server  = server.sim
  dataset = dataset.endless
  cache   = "primed" # ERROR: Nobody knows what to prime

  phase "steady" {
    duration    = "10s"
    concurrency = 1
  }
}

benchmark "theirs" { # ERROR: Cache that can't be made cold
  server  = server.theirs
  dataset = dataset.endless

  conversations {
    verify = true
  }

  phase "steady" {
    requests    = 10
    concurrency = 1
  }
}

benchmark "word" {
  server  = server.sim
  dataset = dataset.endless
  cache   = "colt" # ERROR: Wrong value

  phase "steady" {
    requests    = 10
    concurrency = 1
  }
}
