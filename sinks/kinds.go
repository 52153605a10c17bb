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

// compatAttrs are of the sinks that can speak as another tool.
var compatAttrs = []schema.Attr{
	{Name: "compat", Type: schema.String, DefaultDoc: "sparkrun's own", Values: []string{compatSeed, compatGenAI}, Doc: "Report another tool's numbers and tables, recomputed by its formulas: seed is vLLM's multi-turn benchmark."},
	{Name: "warmup_percentages", Type: schema.StringList, DefaultDoc: `["0%"]`, Doc: "With compat = \"seed\": leave out so much from the front; a table for each."},
}

func checkCompat(v schema.Values) []schema.Problem {
	if !v.Has("warmup_percentages") {
		return nil
	}
	if v.String("compat") != compatSeed {
		return []schema.Problem{{Attr: "warmup_percentages", Summary: "Attribute without a meaning", Detail: `warmup_percentages is of compat = "seed": measured phases leave warm-up out by themselves.`}}
	}
	if _, err := percentages(v.Strings("warmup_percentages")); err != nil {
		return []schema.Problem{{Attr: "warmup_percentages", Summary: "Wrong value", Detail: err.Error() + "."}}
	}
	return nil
}

// warmups are the shares that a sink with compat = "seed" leaves out.
func warmups(s plan.Sink) ([]float64, error) {
	if !s.Values.Has("warmup_percentages") {
		return []float64{0}, nil
	}
	return percentages(s.Values.Strings("warmup_percentages"))
}

var types = []Type{
	{schema.Kind{Name: "console", Doc: "A grid on standard output.", Attrs: compatAttrs, Check: checkCompat}, newConsole},
	{schema.Kind{Name: "excel", Doc: "A workbook: summary with engines as columns, a sheet a benchmark, raw data.", Attrs: append([]schema.Attr{pathAttr("report.xlsx")}, compatAttrs...), Check: checkCompat}, newExcel},
	{schema.Kind{Name: "conversations", Doc: "The finished dialogues with the model's answers, as vLLM's multi-turn benchmark writes them; a file a cell.", Content: true, Attrs: []schema.Attr{pathAttr("conversations.json")}}, newConversations},
	{schema.Kind{Name: "html", Doc: "A report in one file that needs no network: comparison, charts, tables, the scenario, marks explained.", Attrs: []schema.Attr{pathAttr("report.html")}}, newHTML},
	{schema.Kind{Name: "json", Doc: "All cells as one JSON object, as summary.json.", Attrs: []schema.Attr{pathAttr("results.json")}}, newJSON},
	{schema.Kind{Name: "junit", Doc: "JUnit's XML for CI: a test case a cell and a threshold.", Attrs: []schema.Attr{pathAttr("junit.xml")}}, newJUnit},
	{schema.Kind{Name: "markdown", Doc: "A GitHub-flavoured page of what the console shows.", Attrs: []schema.Attr{pathAttr("report.md")}}, newMarkdown},
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
