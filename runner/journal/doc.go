// Package journal is the run's memory: an append-only file of what was about to happen
// and what did, synced line by line. It is the only thing resume reads.
//
// # Format
//
// journal.jsonl holds one JSON object a line, each with "seq" (from 1), "time" and
// "type". A line is written before the thing it announces ("create") or right after the
// thing it states. A last line without a newline, or one that does not parse, is a torn
// write and is ignored, with everything after it.
//
//	run        version, scenario, plan digests: {"cells": {canonical: digest}}
//	create     kind ("process" or "container"), name (the session), address, node, mark (the
//	           run's folder, as processes and containers carry it), port: about to be created
//	created    kind, name, pid, started (process start time in clock ticks), image (a
//	           container's digest): exists
//	keep       kind, name, url, model, digest (of the server): left running on purpose
//	removed    kind, name: gone, verified
//	cell       canonical, number, digest, outcome, cause, model, server (its fingerprint), load: a cell has ended, its rows are complete
//	interrupt  level: the user asked to stop
//	end        exit code
//
// The process whose run it is holds a lock on the file (flock), which goes with the
// process: so another one can tell a run that is going on from one that died.
//
// The package imports the standard library alone.
package journal
