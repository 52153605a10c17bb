package sinks

import (
	"fmt"
	"path/filepath"
	"slices"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

func pathAttr(name string) schema.Attr {
	return schema.Attr{Name: "path", Type: schema.String, Default: schema.Plain(name), Doc: "File, from the run's folder."}
}

var rowsAttr = schema.Attr{Name: "rows", Type: schema.String, Default: schema.Plain("cells"), Values: []string{"cells", "requests"}, Doc: "A line per cell and measured phase, or per request."}

var types = []Type{
	{schema.Kind{Name: "console", Doc: "A grid on standard output."}, newConsole},
	{schema.Kind{Name: "excel", Doc: "A workbook: summary with engines as columns, a sheet a benchmark, raw data.", Attrs: []schema.Attr{pathAttr("report.xlsx")}}, newExcel},
	{schema.Kind{Name: "json", Doc: "All cells as one JSON object, as summary.json.", Attrs: []schema.Attr{pathAttr("results.json")}}, newJSON},
	{schema.Kind{Name: "jsonl", Doc: "JSON lines, written as cells end.", Attrs: []schema.Attr{pathAttr("results.jsonl"), rowsAttr}}, newJSONL},
	{schema.Kind{Name: "csv", Doc: "Comma-separated values.", Attrs: []schema.Attr{pathAttr("results.csv"), rowsAttr}}, newCSV},
}

// Kinds are the sink types.
func Kinds() []schema.Kind {
	var kinds []schema.Kind
	for _, t := range types {
		kinds = append(kinds, t.Kind)
	}
	return kinds
}

// New makes a sink; relative paths start at dir, the run's folder.
func New(s plan.Sink, dir string, env Env) (Sink, error) {
	i := slices.IndexFunc(types, func(t Type) bool { return t.Kind.Name == s.Type })
	if i < 0 {
		return nil, fmt.Errorf("%s: there is no sink type %q", s.Address, s.Type)
	}
	return types[i].New(s, dir, env)
}

func pathOf(s plan.Sink, dir string) string {
	p := s.Values.String("path")
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}
