variable "key" {
  type      = string
  default   = "k"
  sensitive = true
}

server "a" {
  framework = "sim"
  model     = var.key # ERROR: must not be sensitive
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
