server "a" {
  framework = "openai"
  url       = "http://127.0.0.1:8000"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d
  restart = "cell" # ERROR: server.a has a url: sparkrun has not started it

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
