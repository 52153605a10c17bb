node "spark1" {
  host = "10.0.0.1"
}
server "a" {
  framework = "command"
  command   = ["a"]
  nodes     = [node.local, node.spark1] # ERROR: must reach this machine: say where, as in node "local" { fabric_ip = "10.20.0.10" }
}
server "b" {
  framework = "vllm"
  model     = "m"
  nodes     = [node.spark1, node.spark1] # ERROR: node.spark1 is named twice
}
server "c" {
  framework = "ollama"
  model     = "m"
  nodes     = [node.spark1, node.spark1] # ERROR: ollama runs on one node
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
