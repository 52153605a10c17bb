// Package wire sends OpenAI-compatible requests and stamps their answers. What arrives on
// a plain TCP connection is read by a loop (loop_linux.go): one OS thread for many streams,
// with the kernel's receive stamps, so that neither a busy scheduler nor a parser is in the
// numbers. TLS, other systems and connections that are no sockets have a goroutine that
// reads (plain.go). Both feed the same state machine: answer takes HTTP apart, parser the
// event stream, pattern knows the next token event by the bytes around the last one's
// text. Nothing is decoded, locked, logged or allocated for an event.
package wire
