server "a" {
  framework = "simm" # ERROR: Did you mean "sim"?
}

dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
  seeed = 5 # ERROR: Did you mean "seed"?
}

benchmark "b" {
  server  = server.a
  dataset = dataset.e # ERROR: There is no dataset "e"
  stream  = "yes"     # ERROR: it must be a bool, not a string

  phase "steady" {
    requests    = -1 # ERROR: -1 is below 0
    concurrency = 2
  }
}

sink "exel" { # ERROR: set type to one of
}
