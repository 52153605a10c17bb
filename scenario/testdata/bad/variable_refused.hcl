variable "n" {
  type    = number
  default = 0 # ERROR: n must be positive
  validation {
    condition     = var.n > 0
    error_message = "n must be positive."
  }
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

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
