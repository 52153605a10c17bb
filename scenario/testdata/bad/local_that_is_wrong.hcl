# What follows from a mistake is not one more: the phase has an end, which is not known.
locals {
  requests = lenght([1]) # ERROR: There is no function named "lenght"
}
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

  phase "p" {
    requests    = local.requests
    concurrency = 1
  }
}
