server "a" {
  framework = "sim"
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
sink "excel" {
  compat             = "seed"
  warmup_percentages = ["100%"] # ERROR: each must be a percentage from 0% to below 100%
}
sink "console" {
  warmup_percentages = ["10%"] # ERROR: warmup_percentages is of compat = "seed"
}
sink "json" {
  compat = "seed" # ERROR: vllm
}
sink "plain" {
  type     = "json"
  detailed = true # ERROR: detailed is of compat = "vllm"
}
sink "more" {
  type    = "json"
  compat  = "vllm"
  goodput = ["itl:50"] # ERROR: each must be ttft, tpot or e2el, a colon and a number of ms
}
sink "markdown" {
  latency = "2ms" # ERROR: latency is of compat = "llama-benchy"
}
sink "llama-benchy" {
  latency = "-2ms" # ERROR: latency
}
