package scenario

import (
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// skipAbove decodes the benchmark's rule, nil for none. Mistakes are reported.
func (m *cellMaker) skipAbove() *plan.SkipAbove {
	b, has := m.inner["skip_above"]
	if !has {
		return nil
	}
	v := m.attrs(b.Body, without(skipAboveAttrs, "when"), where{binding: schema.Load})
	rule := &plan.SkipAbove{Axis: v.String("axis")}
	if a, has := b.Body.Attributes["when"]; has {
		rule.Source, rule.Program = m.text(a.Expr.Range()), m.result(a.Expr, "condition of skip_above")
	} else {
		m.errorf(b.DefRange(), "Attribute missing", "%s", missing(skipAboveAttrs[1]))
	}
	if a, has := b.Body.Attributes["axis"]; has && rule.Axis != "" {
		axes, numbers := m.axis(rule.Axis)
		switch {
		case axes != nil:
			m.errorf(a.Expr.Range(), "Axis that the benchmark lacks", "benchmark %q has no axis %q.%s", m.name, rule.Axis, didYouMean(rule.Axis, axes))
		case !numbers:
			m.errorf(a.Expr.Range(), "Wrong value", "The values of axis %q are no numbers: there is no above.", rule.Axis)
		}
	}
	return rule
}

// axis reports whether an axis has numbers only; names are the axes there are where it is
// none of them.
func (m *cellMaker) axis(name string) (names []string, numbers bool) {
	matrix, ok := m.inner["matrix"]
	if !ok {
		return []string{}, false
	}
	a, ok := matrix.Body.Attributes[name]
	if !ok {
		return keys(matrix.Body.Attributes), false
	}
	values, _ := m.list(a, "axis "+name)
	for _, v := range values {
		text := ""
		if v.Type() == cty.Number {
			continue
		}
		if v.Type() == cty.String && !v.IsNull() {
			text = v.AsString()
		}
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return nil, false
		}
	}
	return nil, true
}
