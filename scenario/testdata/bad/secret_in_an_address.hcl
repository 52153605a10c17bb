variable "key" {
  type      = string
  default   = "k"
  sensitive = true
}
server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  matrix {
    key = [var.key] # ERROR: must not be sensitive
  }
  server  = server.a
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
