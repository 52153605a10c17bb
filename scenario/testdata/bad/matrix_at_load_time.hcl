server "a" {
  framework = "sim"
  port      = matrix.port # ERROR: port is needed when the file is loaded
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
