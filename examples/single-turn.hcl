# Single requests of genai-bench's default scenarios, with its table: prompts and answers of
# normal, short, long-answer and long-prompt lengths, under one user and under more.
#   sparkrun apply examples/single-turn.hcl
# As long and under as many users as there:
#   --var seconds=60 --var concurrency=1,2,4,8,16,32,64,128,256

variable "seconds" {
  type        = number
  default     = 10
  description = "Length of each measurement."
}

variable "concurrency" {
  type    = list(number)
  default = [1, 8, 64]
}

server "engine" {
  framework = "sim" # sparkrun's simulator: nothing is measured of a real engine
  options = {
    prefill_tokens_per_s = 200000
    decode_step          = "1ms"
    decode_step_per_seq  = "20us"
  }
}

dataset "normal" {
  type  = "synthetic"
  shape = "N(480,240)/(300,150)" # means and deviations: tokens in, tokens out
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
  server  = server.engine
  dataset = matrix.dataset
  order   = "file" # else cells are shuffled
  api     = "chat"

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
    output      = "forced" # answers have their full length; natural: they end by themselves
  }
}

sink "console" {
  compat = "genai-bench" # its table; leave it out for sparkrun's own grid
}

sink "excel" {}

sink "html" {}
