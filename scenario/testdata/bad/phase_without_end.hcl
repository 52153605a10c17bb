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

  phase "steady" { # ERROR: Set duration, requests or conversations
    concurrency = 2
  }
}
