server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  matrix {
    users  = [1, 4]
    server = [server.a]
  }
  server  = matrix.server
  dataset = dataset.d
  phase "steady" {
    requests     = 10
    concurrency  = matrix.users
    until_stable = true # ERROR: until_stable ends a warm-up
  }
  skip_above {
    axis = "users"
    when = result.ttft_ms.p51 > 100 # ERROR: p51
  }
}
benchmark "c" {
  matrix {
    server = [server.a]
  }
  server  = matrix.server
  dataset = dataset.d
  phase "steady" {
    requests    = 10
    concurrency = 2
  }
  skip_above {
    axis = "server" # ERROR: The values of axis "server" are no numbers
    when = result.ttft_ms.p50 > 100
  }
}
benchmark "d" {
  server  = server.a
  dataset = dataset.d
  phase "steady" {
    requests    = 10
    concurrency = 2
  }
  skip_above {
    axis = "users" # ERROR: benchmark "d" has no axis "users"
    when = result.ttft_ms.p50 > 100
  }
}
