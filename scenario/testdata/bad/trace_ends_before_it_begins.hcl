server "a" {
  framework = "sim"
}
dataset "d" {
  type = "trace"
  path = "trace_ends_before_it_begins.hcl" # is there; read only where the attributes are right
  from = "10m"
  to   = "5m" # ERROR: to is 5m0s: it must be above from (10m0s)
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
