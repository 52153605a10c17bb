server "a" {
  framework       = "vllm"
  model           = "m"
  memory_fraction = 75 # ERROR: memory_fraction is 75: it is a share of the memory, above 0 and at most 1
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
