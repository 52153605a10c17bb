// Package sinks writes results: a file each, one interface. A sink sees only
// runner/result, so any of them can be written again from an old run's data.
package sinks
