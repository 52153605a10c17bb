server "a" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d # ERROR: whose conversations have no times

  phase "steady" {
    requests = 10
    rate     = 2
    replay   = true # ERROR: A replay has the arrivals of its trace
  }
  phase "even" {
    requests   = 10
    rate       = 2
    burstiness = 2 # ERROR: burstiness is that of arrival = "gamma"
  }
  phase "bursts" {
    requests   = 10
    rate       = 2
    arrival    = "gamma"
    burstiness = -1 # ERROR: burstiness must be above 0
  }
  phase "fast" {
    requests    = 10
    concurrency = 2
    speed       = 2 # ERROR: speed is that of a replay
  }
  phase "early" {
    requests   = 10
    rate       = 2
    early_stop = true # ERROR: early_stop is for a closed loop
  }
}
