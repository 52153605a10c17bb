// Package sim is an OpenAI-compatible inference server that does no inference: it
// answers with the timing of an engine with continuous batching, and says what truly
// happened. It is the newcomer's server, the tests' server and the client's yardstick.
package sim
