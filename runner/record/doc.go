// Package record is what the hot path touches: a Request that is to be sent, the Record
// of what came of it, the stamps of its stream events, and the row that a record becomes
// on disk. A leaf: it imports the standard library alone, and nothing here locks, logs
// or decodes.
package record
