# A server that is running already, with the API of OpenAI: how fast it is for one user,
# and for several.
#   sparkrun apply examples/openai.hcl

# Which one: --var url=http://127.0.0.1:8000/v1
variable "url" {
  type        = string
  default     = "http://127.0.0.1:8000/v1"
  description = "Address of the server, with or without /v1."
}

variable "model" {
  type        = string
  default     = ""
  description = "Model id; may be left out where the server has one model."
}

# The key, if it wants one, comes from the environment: SPARKRUN_VAR_api_key=…
variable "api_key" {
  type      = string
  default   = ""
  sensitive = true
}

variable "seconds" {
  type        = number
  default     = 30
  description = "Length of each measurement."
}

variable "concurrency" {
  type        = list(number)
  default     = [1, 4]
  description = "Users at a time."
}

server "endpoint" {
  framework = "openai"
  url       = var.url
  model     = var.model
  api_key   = var.api_key
}

dataset "chat" {
  type  = "synthetic"
  shape = "D(256,64)" # tokens in, tokens out
}

# Not measured: a phase of this name warms the server up.
phase "warmup" {
  requests    = matrix.concurrency
  concurrency = matrix.concurrency
}

phase "steady" {
  duration     = "${var.seconds}s"
  min_requests = 20   # it goes on until there are so many,
  max_duration = "5m" # but not for ever
  concurrency  = matrix.concurrency
}

# A cell for each number of users.
benchmark "chat" {
  matrix {
    concurrency = var.concurrency
  }
  server  = server.endpoint
  dataset = dataset.chat
  phases  = [phase.warmup, phase.steady]
  api     = "chat"

  request {
    timeout = "5m"
    output  = "forced" # answers have their full length; natural: they end by themselves
  }

  # Its share of requests is the goodput.
  slo "interactive" {
    condition = request.ttft_ms <= 500 && request.tpot_ms <= 50
  }
}

# Without a sink block: a table here, report.xlsx and report.html in the run's folder.
