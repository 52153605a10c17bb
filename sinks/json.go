package sinks

import (
	"context"
	"encoding/json"
	"io"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

func init() {
	register(schema.Kind{Name: "json", Doc: "All cells as one JSON object, as summary.json.", Attrs: []schema.Attr{pathAttr("results.json")}}, newJSON)
}

// jsonSink writes the summary.
type jsonSink struct{ path string }

func newJSON(s plan.Sink, dir string, _ Env) (Sink, error) { return &jsonSink{pathOf(s, dir)}, nil }

func (s *jsonSink) Begin(context.Context, *result.Run) error { return writable(s.path) }
func (s *jsonSink) Cell(context.Context, *result.Cell) error { return nil }
func (s *jsonSink) Path() string                             { return s.path }

func (s *jsonSink) End(_ context.Context, r *result.Run) error {
	return replace(s.path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(result.NewSummary(r, r.Entries, r.Thresholds))
	})
}
