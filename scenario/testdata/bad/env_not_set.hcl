server "a" {
  framework = "sim"
  api_key   = env("NO_SUCH_TOKEN") # ERROR: the environment has no NO_SUCH_TOKEN: set it (export NO_SUCH_TOKEN=…)
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d

  phase "p" {
    requests    = 1
    concurrency = 1
  }
}
