// Package telemetry samples what nodes and servers say of themselves while they are measured:
// GPUs through nvidia-smi, processors and memory through /proc, engines through their /metrics.
// It hands samples on and judges nothing; runner/result does.
//
// It imports targets and runner/record, and neither the runner nor the language.
package telemetry
