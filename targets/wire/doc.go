// Package wire sends OpenAI-compatible requests and stamps their answers. HTTP is the
// standard library's, on a connection of our own that keeps the time at which bytes
// arrived, so that neither a busy scheduler nor a parser is in the numbers.
package wire
