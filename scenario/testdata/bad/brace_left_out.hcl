# After a mistake like this the parser takes what stands inside for blocks of the file.
server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" # ERROR: must have block content delimited by
  matrix {
    concurrency = [1]
  }
  server = server.a
  phase "p" {
    requests = 1
  }
}
