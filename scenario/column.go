package scenario

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// columns compiles the metrics and slos of the benchmark, then those of all.
func (m *cellMaker) columns() {
	blocks := slices.Concat(m.block.Body.Blocks, m.loader.blocks["metric"], m.loader.blocks["slo"])
	seen := map[string]bool{}
	for _, b := range blocks {
		if (b.Type != "metric" && b.Type != "slo") || len(b.Labels) != 1 {
			continue
		}
		if seen[b.Type+b.Labels[0]] {
			continue // its own goes before that of all; two of its own are reported already
		}
		seen[b.Type+b.Labels[0]] = true
		m.column(b)
	}
}

func (m *cellMaker) column(b *hclsyntax.Block) {
	name, attr := b.Labels[0], map[string]string{"metric": "value", "slo": "condition"}[b.Type]
	t := blockType(topBlocks, b.Type)
	if !m.known(b.Body, t, nil) {
		return
	}
	a, ok := b.Body.Attributes[attr]
	if !ok {
		m.errorf(b.DefRange(), "Attribute missing", "%s", missing(t.Attrs[0]))
		return
	}
	if slices.Contains(requestColumns(), name) || name == metric.ITL.Name || name == "all" {
		m.errorf(b.LabelRanges[0], "Wrong name", "%s is a number of every request already.", name)
		return
	}
	c := &compiler{loader: m.loader, root: "request", names: requestColumns(), full: same, what: b.Type}
	// An absent TPOT (a one-token answer) meets an slo, anything else absent does not;
	// under a negation it is the other way round. A metric leaves the request out.
	c.nulls = func(columns []string, positive bool) int {
		met := len(columns) > 0
		for _, col := range columns {
			met = met && (col == "tpot_ms" || col == "output_tokens_per_s_per_user")
		}
		if b.Type == "slo" && met == positive {
			return metric.NullIsTrue
		}
		return metric.NullIsFalse
	}
	p := c.compile(a.Expr, b.Type == "slo")
	if p == nil {
		return
	}
	source := m.text(a.Expr.Range())
	if b.Type == "slo" {
		m.slos = append(m.slos, plan.SLO{Name: name, Source: source, Program: p})
		return
	}
	v := m.attrs(b.Body, metricAttrs[1:], where{binding: schema.Load})
	m.mets = append(m.mets, plan.Metric{Name: name, Unit: v.String("unit"), Source: source, Program: p})
}
