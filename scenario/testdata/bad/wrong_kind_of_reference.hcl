server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = dataset.d # ERROR: must name a server block
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
