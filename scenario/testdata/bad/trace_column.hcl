server "a" {
  framework = "sim"
}
dataset "d" {
  type    = "trace"
  path    = "trace_column.hcl" # is there; read only where the attributes are right
  columns = { time = "Timestamp" } # ERROR: columns has "time": its names are timestamp, input_tokens, output_tokens and hash_ids
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
