server "a" {
  framework = "sim"
}
dataset "d" {
  type = "jsonl"
  path = "nothing.jsonl" # ERROR: nothing.jsonl
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
