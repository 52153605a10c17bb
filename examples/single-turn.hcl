# Single requests in the scenarios and concurrencies that genai-bench has by default, each
# for a while, with its table: prompts and answers of normal, short, long-answer and
# long-prompt lengths.
#   sparkrun apply examples/single-turn.hcl --var seconds=2 --var concurrency=4   # on the simulator
#   sparkrun apply examples/single-turn.hcl --var url=http://127.0.0.1:8000/v1    # on a real server

variable "url" {
  type        = string
  default     = ""
  description = "Server that is running already; without it the simulator."
}

variable "seconds" {
  type        = number
  default     = 60
  description = "Length of each measurement."
}

variable "concurrency" {
  type    = list(number)
  default = [1, 2, 4, 8, 16, 32, 64, 128, 256]
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

dataset "normal" {
  type  = "synthetic"
  shape = "N(480,240)/(300,150)"
}

dataset "short" {
  type  = "synthetic"
  shape = "D(100,100)"
}

dataset "long_answer" {
  type  = "synthetic"
  shape = "D(100,1000)"
}

dataset "prompt_2k" {
  type  = "synthetic"
  shape = "D(2000,200)"
}

dataset "prompt_8k" {
  type  = "synthetic"
  shape = "D(7800,200)"
}

benchmark "single_turn" {
  matrix {
    dataset     = [dataset.normal, dataset.short, dataset.long_answer, dataset.prompt_2k, dataset.prompt_8k]
    concurrency = var.concurrency
  }
  server  = var.url == "" ? server.simulated : server.endpoint
  dataset = matrix.dataset
  order   = "file"

  phase "warmup" {
    requests    = matrix.concurrency
    concurrency = matrix.concurrency
  }

  phase "steady" {
    duration    = "${var.seconds}s"
    concurrency = matrix.concurrency
  }

  request {
    temperature = 0
    output      = "forced"
  }
}

sink "console" {
  compat = "genai-bench" # its table; leave it out for sparkrun's own grid
}

sink "excel" {}
