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

server "a" { # ERROR: server "a" is declared at
  framework = "sim"
}
