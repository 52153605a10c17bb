package sinks

import (
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

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
