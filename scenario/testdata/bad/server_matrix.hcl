server "a" {
  framework = "sim"
  matrix {
    seqs    = [1, 2]
    empty   = [] # ERROR: axis empty is empty
    exclude = [{ sqs = 1 }]
  }
}

server "b" {
  framework = "sim"
  matrix {
    seqs = [1, 2]
  }
  options = {
    max_num_seqs = matrix.sqs # ERROR: server "b" has no axis "sqs". Did you mean "seqs"
  }
}

server "c" {
  framework = "sim"
  options = {
    max_num_seqs = matrix.seqs # ERROR: matrix.seqs is known in the cells of a benchmark only
  }
}

server "f" {
  framework = "sim"
  options = {
    preset = "spark-gpt-oss-20b-vlm" # ERROR: Did you mean "spark-gpt-oss-20b-vllm"
  }
}

server "d" {
  framework = "sim"
  matrix {
    seqs = [1, 2]
    exclude = [{ sqs = 1 }] # ERROR: exclude names "sqs", which is no axis. Did you mean "seqs"
  }
}

server "e" {
  framework = "sim"
  matrix {
    seqs = [1]
  }
  matrix { # ERROR: Block used twice
    seqs = [2]
  }
}

dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}

benchmark "b" {
  server  = server.b
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
