server "a" {
  framework = "sim"
}
server "b" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  matrix {
    server = [server.a, server.b]
    users  = [2, 4]
  }
  server  = matrix.server
  dataset = dataset.d

  metric "mine" {
    value = baseline.ttft_ms.p50 # ERROR: baseline.* is known in a threshold
  }

  phase "steady" {
    requests    = 10
    concurrency = matrix.users
  }
}
