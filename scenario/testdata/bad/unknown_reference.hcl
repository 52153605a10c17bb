server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.aa # ERROR: There is no server "aa". Did you mean "a"?
  dataset = dataset.x # ERROR: There is no dataset "x"

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
