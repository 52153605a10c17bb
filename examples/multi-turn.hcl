# Dialogues of several turns under four clients, as vLLM's multi-turn benchmark plays them:
# 24 conversations of 6 to 9 user turns, 12 of them open at a time, a prefix that all share
# and one of their own, every answer of a forced length, the model's own answers in the
# history. The first turns warm the server up.
#   sparkrun apply examples/multi-turn.hcl                                      # on the simulator
#   sparkrun apply examples/multi-turn.hcl --var url=http://127.0.0.1:8000/v1   # on a real server
# A generator file of that benchmark runs unchanged:
#   dataset "conversations" { path = "generate_multi_turn.json" }

variable "url" {
  type        = string
  default     = ""
  description = "Server that is running already; without it the simulator."
}

server "simulated" {
  framework = "sim"
  options = {
    prefill_tokens_per_s = 200000
    decode_step          = "1ms"
    decode_step_per_seq  = "20us"
  }
}

server "endpoint" {
  framework = "openai"
  url       = var.url == "" ? "http://127.0.0.1:8000/v1" : var.url
}

dataset "dialogues" {
  type                 = "synthetic"
  conversations        = 24
  turns                = uniform(6, 9)
  shared_prefix_tokens = 500
  prefix_tokens        = lognormal({ mean = 1000, max = 5000 })
  input_tokens         = uniform(120, 160)
  output_tokens        = uniform(80, 120)
  when_exhausted       = "stop"
}

benchmark "multi_turn" {
  server  = var.url == "" ? server.simulated : server.endpoint
  dataset = dataset.dialogues

  phase "warmup" {
    conversations   = 24
    concurrency     = 4
    first_turn_only = true
    drain           = "1m"
  }

  phase "steady" {
    conversations = 24
    concurrency   = 4
  }

  conversations {
    active   = 12
    sampling = "round_robin"
  }

  request {
    temperature = 0
    seed        = 0
    output      = "forced"
    timeout     = "2m"
  }
}

sink "console" {
  compat = "seed" # the tables of vLLM's benchmark; leave it out for sparkrun's own
}

sink "excel" {}

sink "conversations" {
  path = "answers.json"
}
