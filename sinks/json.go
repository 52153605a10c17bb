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
	register(schema.Kind{
		Name: "json", Doc: "All cells as one JSON object, as summary.json; with compat = \"vllm\" the file of that tool's --save-result, one for each cell and measured phase.",
		Attrs: append([]schema.Attr{pathAttr("results.json")}, compatAttrs([]string{compatVLLM}, "goodput", "detailed")...), Check: checkCompat,
	}, newJSON)
}

// jsonSink writes the summary.
type jsonSink struct{ path string }

func newJSON(s plan.Sink, dir string, _ Env) (Sink, error) {
	if s.Values.String("compat") == compatVLLM {
		limits, err := goodputLimits(s.Values.Strings("goodput"))
		return &vllmJSON{path: pathOf(s, dir), limits: limits, detailed: s.Values.Bool("detailed")}, err
	}
	return &jsonSink{pathOf(s, dir)}, nil
}

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
