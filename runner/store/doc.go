// Package store is the runs on disk: results/<scenario>/<run-id>/ with what a run
// leaves. The folders are the store; there is no other state.
//
// # rows/<n>.jsonl
//
// The raw rows of cell n, one JSON object a line, appended as requests end and written
// at least once a second, so that the file can be read to its last whole line after
// kill -9. A row has the context columns (run_id cell benchmark repeat phase measured
// axis_<name>…), the request fields of runner/result, undefined ones null, and the raw
// stamps that they were computed from: first_event_ns first_token_ns first_output_ns
// last_token_ns stream_end_ns connect_ns, and token_events_ns, the gaps between token
// events (the first is from 0). Stamps are nanoseconds since the run's epoch.
package store
