// Package table writes and reads tables as Parquet files, for the raw rows of runs and for
// the sinks that write tables. Columns have one of four types and may all be null; a file
// is whole or not there, and neither writing nor reading holds more than a group of rows.
//
// It imports nothing else of ours: what a column means, its users say.
package table
