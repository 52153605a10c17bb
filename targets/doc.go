// Package targets is what a benchmark points at: nodes that run things, and frameworks
// that know how an inference server is launched and when it is ready. It holds the
// interfaces; targets/node and targets/framework implement them.
package targets
