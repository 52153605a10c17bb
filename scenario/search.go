package scenario

import (
	"math"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
)

// maxRungs bounds the values that a search may try.
const maxRungs = 1000

// searchOf makes the search of one cell: every value that it may try, with the phases of
// each. Mistakes are reported, and give nil.
func (m *cellMaker) searchOf(w where) *plan.Search {
	before := len(m.diags)
	body := m.search.Body
	v := m.attrs(body, without(searchAttrs, "between", "goal"), w)
	for _, a := range searchAttrs {
		if _, has := body.Attributes[a.Name]; !has && (a.Name == "between" || a.Name == "goal") {
			m.errorf(m.search.DefRange(), "Attribute missing", "%s", missing(a))
		}
	}
	s := &plan.Search{Name: m.search.Labels[0], Vary: v.String("vary"), MaxSteps: v.Int("max_steps"), Confirm: v.Int("confirm")}
	wrong := func(attr, format string, args ...any) {
		at := m.search.DefRange()
		if a, ok := body.Attributes[attr]; ok {
			at = a.Expr.Range()
		}
		m.errorf(at, "Wrong value", format, args...)
	}
	precision := v.Float("precision")
	switch {
	case precision <= 0 || precision >= 1:
		wrong("precision", "precision must be between 0 and 1; 0.05 is 5 %%.")
	case s.MaxSteps < 1:
		wrong("max_steps", "max_steps must be at least 1.")
	case s.Confirm < 0:
		wrong("confirm", "confirm must not be negative.")
	}
	low, high := m.between(w)
	if a, ok := body.Attributes["goal"]; ok {
		s.Goal = m.text(a.Expr.Range())
		s.Program = m.goal(a.Expr, v.Float("attain"))
	}
	if len(m.diags) > before {
		return nil
	}
	used := false
	w.used = &used
	ladder := rungs(low, high, precision, s.Vary == "concurrency")
	switch {
	case len(ladder) > maxRungs:
		wrong("precision", "with it there are more than %d values to try: make it greater, or between narrower.", maxRungs)
		return nil
	case m.cells*int64(len(ladder)) > maxCells:
		wrong("precision", "%d cells that may try %d values each are more than %d measurements: make it greater, or between narrower.", m.cells, len(ladder), maxCells)
		return nil
	}
	for _, value := range ladder {
		w.search = &value
		s.Rungs = append(s.Rungs, plan.Rung{Value: value, Phases: m.phases(w)})
		if len(m.diags) > before {
			return nil // the same mistake again with every value
		}
	}
	if !used {
		m.errorf(m.search.DefRange(), "Search without effect", "No phase of benchmark %q uses search.value, as in %s = search.value.", m.name, s.Vary)
		return nil
	}
	return s
}

// rungs go from low to high in steps of at most the precision, whole ones if asked.
func rungs(low, high, precision float64, whole bool) []float64 {
	var out []float64
	for v := low; v < high; v *= 1 + precision {
		r := v
		if whole {
			r = math.Ceil(v)
		}
		if r < high && !slices.Contains(out, r) {
			out = append(out, r)
		}
		if len(out) > maxRungs {
			return out
		}
	}
	return append(out, high)
}

func (m *cellMaker) between(w where) (low, high float64) {
	a, ok := m.search.Body.Attributes["between"]
	if !ok {
		return 0, 0
	}
	w.what = "attribute between"
	v, ok := m.scope.eval(a.Expr, w)
	if !ok {
		return 0, 0
	}
	var n []float64
	if v.CanIterateElements() && !v.IsMarked() {
		for it := v.ElementIterator(); it.Next(); {
			if _, x := it.Element(); x.Type() == cty.Number && !x.IsNull() {
				f, _ := x.AsBigFloat().Float64()
				n = append(n, f)
			}
		}
	}
	if len(n) != 2 || n[0] <= 0 || n[0] >= n[1] {
		m.errorf(a.Expr.Range(), "Wrong value", "between must be the lowest and the highest value, as in [1, 64]: two numbers above 0, the smaller first.")
		return 0, 0
	}
	return n[0], n[1]
}

// goal compiles what must hold: slo.NAME stands for the share of requests that meet it.
func (m *cellMaker) goal(expr hclsyntax.Expression, attain float64) *metric.Program {
	_, slos := m.own()
	if vars := expr.Variables(); len(vars) == 1 && vars[0].RootName() == "slo" {
		name := ""
		if t, ok := expr.(*hclsyntax.ScopeTraversalExpr); ok && len(t.Traversal) == 2 {
			if a, ok := t.Traversal[1].(hcl.TraverseAttr); ok {
				name = a.Name
			}
		}
		if !slices.Contains(slos, name) {
			m.errorf(expr.Range(), "Unknown slo", "The goal must be one of the slos of benchmark %q, as in slo.NAME.%s", m.name, didYouMean(name, slos))
			return nil
		}
		return &metric.Program{
			Columns: []string{"goodput." + name + ".slo_attainment"}, Consts: []float64{attain}, Depth: 2, Bool: true,
			Code: []metric.Instr{{Op: metric.Col}, {Op: metric.Const}, {Op: metric.Ge, Arg: metric.NullIsFalse}},
		}
	}
	if _, ok := m.search.Body.Attributes["attain"]; ok {
		m.errorf(m.search.Body.Attributes["attain"].Expr.Range(), "Attribute without a meaning", "attain is the share of requests that meet an slo, and the goal is none.")
	}
	return m.result(expr, "goal")
}

// own are the names of the benchmark's metrics and slos.
func (m *cellMaker) own() (metrics, slos []string) {
	for _, x := range m.mets {
		metrics = append(metrics, x.Name)
	}
	for _, x := range m.slos {
		slos = append(slos, x.Name)
	}
	return metrics, slos
}

// result compiles a condition over the results of one of the benchmark's cells.
func (m *cellMaker) result(expr hclsyntax.Expression, what string) *metric.Program {
	c := &compiler{loader: m.loader, root: "result", names: metric.ResultPaths(m.own()), full: metric.FullPath, what: what, nulls: func([]string, bool) int { return metric.NullIsFalse }}
	return c.compile(expr, true)
}
