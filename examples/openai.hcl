# Any OpenAI-compatible server that is running already:
#   sparkrun apply examples/openai.hcl --var url=http://127.0.0.1:8000/v1
# The key, if it wants one, comes from the environment: SPARKRUN_VAR_api_key=…

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

variable "api_key" {
  type      = string
  default   = ""
  sensitive = true
}

variable "concurrency" {
  type    = list(number)
  default = [1, 4]
}

server "endpoint" {
  framework = "openai"
  url       = var.url
  model     = var.model
  api_key   = var.api_key
}

dataset "chat" {
  type          = "synthetic"
  input_tokens  = uniform(40, 120)
  output_tokens = uniform(16, 48)
}

phase "warmup" {
  requests    = matrix.concurrency
  concurrency = matrix.concurrency
}

phase "steady" {
  requests    = 40 * matrix.concurrency
  concurrency = matrix.concurrency
}

benchmark "endpoint" {
  matrix {
    concurrency = var.concurrency
  }
  server  = server.endpoint
  dataset = dataset.chat
  phases  = [phase.warmup, phase.steady]

  request {
    timeout = "5m"
    output  = "forced"
  }
}
