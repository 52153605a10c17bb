// Package result turns records into what people read: columns, windows, summaries,
// verdicts and thresholds. What sinks see is here; how it is written is theirs.
package result
