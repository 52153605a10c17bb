server "a" {
  framework = "sim"
  options = {
    tfft = "5ms" # ERROR: Did you mean "ttft"?
    itl  = 5     # ERROR: itl: it must be a duration
  }
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
