# llama.cpp on a CPU, started and stopped by the scenario; a small GGUF model is enough:
#   sparkrun apply examples/llamacpp.hcl --only server=llamacpp --var model=/models/small.gguf
# needs llama-server on the PATH. Without it, the same engine comes as a Python package:
#   python3 -m venv v && v/bin/pip install xllamacpp
#   sparkrun apply examples/llamacpp.hcl --only server=pip --var python=v/bin/python --var model=/models/small.gguf

variable "model" {
  type        = string
  default     = "model.gguf"
  description = "A GGUF file."
}

variable "python" {
  type    = string
  default = "python3"
}

variable "slots" {
  type    = number
  default = 4
}

variable "context" {
  type        = number
  default     = 2048
  description = "Tokens of one sequence."
}

# Leave a core to the client: an engine that takes them all stalls it.
variable "threads" {
  type    = number
  default = 1
}

server "llamacpp" {
  model          = var.model
  max_num_seqs   = var.slots
  max_model_len  = var.context
  prefix_caching = true
  options = {
    threads       = var.threads
    threads_batch = var.threads
    metrics       = true
  }
  ready {
    deadline = "5m"
    stall    = "1m"
  }
}

server "pip" {
  framework = "command"
  command   = [var.python, "-c", local.serve, var.model, "{port}", "{host}", format("%d", var.slots), format("%d", var.slots * var.context), format("%d", var.threads)]
  ready {
    deadline = "5m"
    stall    = "1m"
  }
}

locals {
  serve = <<-EOT
    import signal, sys, xllamacpp
    p = xllamacpp.CommonParams()
    p.model.path, p.port, p.hostnames = sys.argv[1], int(sys.argv[2]), [sys.argv[3]]
    p.n_parallel, p.n_ctx = int(sys.argv[4]), int(sys.argv[5])
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(sys.argv[6])
    p.n_gpu_layers, p.endpoint_metrics = 0, True
    server = xllamacpp.Server(p)
    print("listening at", server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
  EOT
}

dataset "short" {
  type  = "synthetic"
  shape = "D(64,32)"
}

benchmark "cpu" {
  matrix {
    server      = [server.llamacpp, server.pip]
    concurrency = [1, 4]
  }
  server  = matrix.server
  dataset = dataset.short

  phase "warmup" {
    requests    = 2 * matrix.concurrency
    concurrency = matrix.concurrency
  }

  phase "steady" {
    requests    = 40
    concurrency = matrix.concurrency
  }
}
