server "a" {
  framework = "sim"
}
dataset "d" { # ERROR: text and text_files are both set: keep one
  type          = "synthetic"
  input_tokens  = 10
  output_tokens = 5
  text          = "Once upon a time"
  text_files    = ["two_texts.hcl"]
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d

  phase "steady" {
    requests    = 10
    concurrency = 2
  }
}
