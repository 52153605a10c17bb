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
    exclude = [{ server = server.b, users = 2 }]
  }
  server  = matrix.server
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = matrix.users
  }
}

threshold "axis" {
  condition     = peer({ concurrency = 4 }).ttft_ms.p99 > 5 # ERROR: there is no axis "concurrency"
  error_message = "slow"
}

threshold "value" {
  condition     = peer({ users = 3 }).ttft_ms.p99 > 5 # ERROR: No cell has users = 3. There is: 2, 4.
  error_message = "slow"
}

threshold "nothing" {
  condition     = peer({}).ttft_ms.p99 > 5 # ERROR: has a cell with these values beside it
  error_message = "slow"
}

threshold "excluded" {
  condition     = peer({ users = 2 }).ttft_ms.p99 > 5 # ERROR: has a cell with these values beside it
  error_message = "slow"
  where         = { server = server.b }
}

threshold "fine" {
  condition     = result.ttft_ms.p50 < 2 * peer({ server = server.a, users = 2 }).ttft_ms.p50
  error_message = "slow"
  where         = { server = server.b, users = 4 }
}
