server "engine" {
  framework = sim # ERROR: A text is written in quotes: "sim"
}

dataset "chat" {
  type  = "synthetic"
  shape = "D(480,240)"
}

benchmark "load" {
  server  = server.engin # ERROR: Did you mean "engine"?
  dataset = dataset.chat

  request {
    timeout = 5 # ERROR: as in "20s"
  }

  phase "steady" {
    duration   = "5" # ERROR: is no duration
    concurency = 4   # ERROR: Did you mean "concurrency"?
  }
}

threshold "x" { # ERROR: Set error_message
  condition = result.ttft_ms.p95 < 100
}
