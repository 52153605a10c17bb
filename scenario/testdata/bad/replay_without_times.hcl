server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d # ERROR: whose conversations have no times

  phase "steady" {
    replay = true
  }
}
