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

  phase "steady" {
    requests    = 10
    concurrency = matrix.users
  }
}

threshold "unit" {
  condition     = result.ttft_ms.p99 < baseline.ttft.p99 # ERROR: Did you mean baseline.ttft_ms.p99?
  error_message = "slow"
}

threshold "bare" {
  condition     = peer.ttft_ms.p99 > 5 # ERROR: as in peer({ server = server.sglang })
  error_message = "slow"
}

threshold "cell" {
  condition     = peer({ server = server.a }) > 5 # ERROR: peer(…) is a cell: name a number of it
  error_message = "slow"
}

threshold "empty" {
  condition     = peer().ttft_ms.p99 > 5 # ERROR: Say which cell is meant
  error_message = "slow"
}

threshold "number" {
  condition     = peer({ server = server.a }).ttft_ms > 5 # ERROR: There is no peer(…).ttft_ms.
  error_message = "slow"
}

threshold "text" {
  condition     = peer("a").ttft_ms.p50 > 5 # ERROR: the argument of peer must be an object
  error_message = "slow"
}

threshold "late" {
  condition     = peer({ users = matrix.users }).ttft_ms.p50 > 5 # ERROR: the argument of peer is needed when the file is loaded
  error_message = "slow"
}
