// Package store is the runs on disk: results/<scenario>/<run-id>/ with what a run
// leaves. The folders are the store; there is no other state.
//
// # rows/<n>.jsonl
//
// The raw rows of cell n while it is measured, one JSON object a line, appended as requests
// end and written at least once a second, so that the file can be read to its last whole
// line after kill -9. It has the columns of requests/<n>.parquet, token_events_ns (the gaps
// between token events, the first from 0) and, where they are kept, the texts.
//
// # requests/<n>.parquet
//
// What the lines become when the cell closes: a row a request, also of those that failed,
// in the order in which they ended. The lines are removed once the file is on the disk, so that
// one of the two is always whole; where both are, the Parquet file counts. The columns
// are of four types, all of them may be null, and null is undefined:
//
//	run_id cell benchmark axis_<name>… phase   STRING
//	repeat                                     INT64
//	measured                                   BOOLEAN  false in a warmup
//	phase_index                                INT64    of the cell's phases, from 0
//	search_step search_value                   INT64, DOUBLE  what a search tried
//	the request fields (sparkrun help metrics) texts STRING; *_ns, counts and tokens INT64;
//	                                           other numbers DOUBLE
//	first_event_ns first_token_ns first_output_ns last_token_ns last_bare_ns stream_end_ns
//	connect_ns round_trip_ns                   INT64    raw stamps, nanoseconds since the run's epoch
//	last_turn                                  BOOLEAN
//	first_event_tokens first_output_tokens reasoning_events bare_events worker
//	rank conversation                          INT64
//
// The value of an axis is always a text, so that a glob over runs unites them, as in DuckDB's
// read_parquet('results/sweep/**/requests/*.parquet', union_by_name = true). Its ** does not follow
// the link latest, as a * would: the rows of that run would be there twice.
//
// # events/<n>.parquet
//
// A row a token event, unless record { events = false }: the columns from run_id to measured,
// then request_id, request_row (INT64, the request's row in requests/<n>.parquet, from 0),
// status, event (INT64, from 0), arrival_ns (INT64) and itl_ms (DOUBLE, the gap to the event
// before; null for the first).
//
// # content.parquet
//
// With record { content = true }: the columns from run_id to measured, request_id,
// conversation_id, turn, status, and the texts system prompt answer reasoning tool_calls, a row
// a request. Until the run comes to its end each cell has its own in content/<n>.parquet.
package store
