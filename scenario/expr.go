package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// compiler turns an expression over columns into a program for the columnar machine.
type compiler struct {
	*loader
	root   string   // "request" or "result"
	names  []string // columns that there are
	full   func(string) string
	nulls  func(columns []string, positive bool) int
	what   string
	out    metric.Program
	height int
}

// compile compiles expr, which must be a condition or a number as wanted.
func (c *compiler) compile(expr hclsyntax.Expression, condition bool) *metric.Program {
	isBool, ok := c.expr(expr, true)
	if !ok {
		return nil
	}
	if isBool != condition {
		c.errorf(expr.Range(), "Wrong type", "The %s must be a %s.", c.what, map[bool]string{true: "condition, as in a <= b", false: "number"}[condition])
		return nil
	}
	c.out.Bool = condition
	return &c.out
}

func (c *compiler) emit(op metric.Op, arg, pops int) {
	c.out.Code = append(c.out.Code, metric.Instr{Op: op, Arg: arg})
	c.height += 1 - pops
	c.out.Depth = max(c.out.Depth, c.height)
}

var operations = map[*hclsyntax.Operation]metric.Op{
	hclsyntax.OpAdd: metric.Add, hclsyntax.OpSubtract: metric.Sub, hclsyntax.OpMultiply: metric.Mul, hclsyntax.OpDivide: metric.Div, hclsyntax.OpModulo: metric.Mod,
	hclsyntax.OpLessThan: metric.Lt, hclsyntax.OpLessThanOrEqual: metric.Le, hclsyntax.OpGreaterThan: metric.Gt, hclsyntax.OpGreaterThanOrEqual: metric.Ge,
	hclsyntax.OpEqual: metric.Eq, hclsyntax.OpNotEqual: metric.Ne, hclsyntax.OpLogicalAnd: metric.And, hclsyntax.OpLogicalOr: metric.Or,
}

// expr compiles one expression; positive is false under an odd number of negations.
func (c *compiler) expr(e hclsyntax.Expression, positive bool) (isBool, ok bool) {
	if !c.reads(e) {
		return c.constant(e)
	}
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.expr(e.Expression, positive)
	case *hclsyntax.ScopeTraversalExpr:
		return false, c.column(e.Traversal)
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpLogicalNot {
			is, ok := c.expr(e.Val, !positive)
			if !ok || !c.want(e.Val, is, true) {
				return true, false
			}
			c.emit(metric.Not, 0, 1)
			return true, true
		}
		is, ok := c.expr(e.Val, positive)
		if !ok || !c.want(e.Val, is, false) {
			return false, false
		}
		c.emit(metric.Neg, 0, 1)
		return false, true
	case *hclsyntax.BinaryOpExpr:
		return c.binary(e, positive)
	case *hclsyntax.ConditionalExpr:
		a, okA := c.expr(e.Condition, positive)
		b, okB := c.expr(e.TrueResult, positive)
		d, okD := c.expr(e.FalseResult, positive)
		if !okA || !okB || !okD || !c.want(e.Condition, a, true) || !c.want(e.FalseResult, d, b) {
			return false, false
		}
		c.emit(metric.Select, 0, 3)
		return b, true
	case *hclsyntax.FunctionCallExpr:
		return false, c.call(e, positive)
	}
	c.errorf(e.Range(), "Expression that can't be computed", "A %s is made of %s.*, numbers, + - * / %%, comparisons, && || !, ?:, abs, floor, ceil, min, max and pow.", c.what, c.root)
	return false, false
}

// reads reports whether an expression has columns in it.
func (c *compiler) reads(e hclsyntax.Expression) bool {
	return slices.ContainsFunc(e.Variables(), func(t hcl.Traversal) bool {
		return slices.Contains([]string{"request", "result", "baseline", "peer"}, t.RootName())
	})
}

func (c *compiler) constant(e hclsyntax.Expression) (isBool, ok bool) {
	v, ok := c.scope.eval(e, where{what: "the " + c.what, binding: schema.Load})
	if !ok {
		return false, false
	}
	v, _ = v.Unmark()
	var f float64
	switch {
	case v.IsNull():
		c.errorf(e.Range(), "Wrong type", "null can't be computed with.")
		return false, false
	case v.Type() == cty.Bool:
		isBool = true
		if v.True() {
			f = 1
		}
	case v.Type() == cty.Number:
		f = float(v)
	default:
		c.errorf(e.Range(), "Wrong type", "The %s computes with numbers, not %s.", c.what, kindOfValue(v))
		return false, false
	}
	c.out.Consts = append(c.out.Consts, f)
	c.emit(metric.Const, len(c.out.Consts)-1, 0)
	return isBool, true
}

func (c *compiler) column(t hcl.Traversal) bool {
	if t.RootName() != c.root {
		if t.RootName() == "baseline" || t.RootName() == "peer" {
			c.errorf(t.SourceRange(), "Value of a later version", "%s.* is not in this version.", t.RootName())
		} else {
			c.errorf(t.SourceRange(), "Value known too late", "A %s is computed from %s.*; %s.* is known elsewhere.", c.what, c.root, t.RootName())
		}
		return false
	}
	var parts []string
	for _, step := range t[1:] {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			parts = append(parts, s.Name)
		case hcl.TraverseIndex:
			if s.Key.Type() == cty.String {
				parts = append(parts, s.Key.AsString())
			}
		}
	}
	name := strings.Join(parts, ".")
	full := c.full(name)
	if !slices.Contains(c.names, full) {
		hint := didYouMean(full, c.names)
		if near := suffixed(name, c.names); near != "" {
			hint = fmt.Sprintf(" Did you mean %s.%s?", c.root, near)
		} else {
			hint = strings.Replace(hint, `"metrics.`, `"`+c.root+`.`, 1)
		}
		c.errorf(t.SourceRange(), "Unknown number", "There is no %s.%s.%s", c.root, name, hint)
		return false
	}
	i := slices.Index(c.out.Columns, full)
	if i < 0 {
		i = len(c.out.Columns)
		c.out.Columns = append(c.out.Columns, full)
	}
	c.emit(metric.Col, i, 0)
	return true
}

// suffixed is the number that a name without its unit means: ttft for ttft_ms.
func suffixed(name string, names []string) string {
	first, rest, dot := strings.Cut(name, ".")
	for _, n := range names {
		short := strings.TrimPrefix(n, "metrics.")
		head, tail, _ := strings.Cut(short, ".")
		for _, unit := range []string{"_ms", "_tokens", "_per_s", "_ns"} {
			if head == first+unit && (!dot || rest == tail) {
				if dot {
					return short
				}
				return head
			}
		}
	}
	return ""
}

func (c *compiler) binary(e *hclsyntax.BinaryOpExpr, positive bool) (isBool, ok bool) {
	op, known := operations[e.Op]
	if !known {
		c.errorf(e.Range(), "Expression that can't be computed", "This operator is not for a %s.", c.what)
		return false, false
	}
	first := len(c.out.Code)
	a, okA := c.expr(e.LHS, positive)
	b, okB := c.expr(e.RHS, positive)
	if !okA || !okB {
		return false, false
	}
	logical := op == metric.And || op == metric.Or
	if op != metric.Eq && op != metric.Ne && (!c.want(e.LHS, a, logical) || !c.want(e.RHS, b, logical)) {
		return false, false
	}
	arg := 0
	if op >= metric.Lt && op <= metric.Ne {
		var read []string
		for _, in := range c.out.Code[first:] {
			if in.Op == metric.Col {
				read = append(read, c.out.Columns[in.Arg])
			}
		}
		arg = c.nulls(read, positive)
	}
	c.emit(op, arg, 2)
	return op >= metric.Lt && op <= metric.Or, true
}

func (c *compiler) call(e *hclsyntax.FunctionCallExpr, positive bool) bool {
	op, known := map[string]metric.Op{"abs": metric.Abs, "floor": metric.Floor, "ceil": metric.Ceil, "min": metric.Min, "max": metric.Max, "pow": metric.Pow}[e.Name]
	least, most := 1, 1
	switch e.Name {
	case "min", "max":
		most = 1 << 10
	case "pow":
		least, most = 2, 2
	}
	if !known || len(e.Args) < least || len(e.Args) > most {
		c.errorf(e.Range(), "Expression that can't be computed", "Functions over %s.* are abs(x), floor(x), ceil(x), min(a, b…), max(a, b…) and pow(a, b).", c.root)
		return false
	}
	for i, a := range e.Args {
		is, ok := c.expr(a, positive)
		if !ok || !c.want(a, is, false) {
			return false
		}
		if i > 0 {
			c.emit(op, 0, 2)
		}
	}
	if most == 1 {
		c.emit(op, 0, 1)
	}
	return true
}

func (c *compiler) want(e hclsyntax.Expression, isBool, want bool) bool {
	if isBool == want {
		return true
	}
	c.errorf(e.Range(), "Wrong type", "This must be a %s.", map[bool]string{true: "condition", false: "number"}[want])
	return false
}

// requestColumns are the numbers of a request that expressions may name.
func requestColumns() []string {
	var out []string
	for _, n := range metric.Request() {
		if !n.Text {
			out = append(out, n.Name)
		}
	}
	return out
}

func same(s string) string { return s }

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

// text is a range's source.
func (l *loader) text(r hcl.Range) string {
	f, ok := l.scenario.Files[r.Filename]
	if !ok {
		return ""
	}
	return string(r.SliceBytes(f.Bytes))
}

func (l *loader) thresholds() {
	t := blockType(topBlocks, "threshold")
	var metrics, slos []string
	for i := range l.plan.Cells {
		for _, x := range l.plan.Cells[i].Metrics {
			if !slices.Contains(metrics, x.Name) {
				metrics = append(metrics, x.Name)
			}
		}
		for _, x := range l.plan.Cells[i].SLOs {
			if !slices.Contains(slos, x.Name) {
				slos = append(slos, x.Name)
			}
		}
	}
	names := metric.ResultPaths(metrics, slos)
	if slices.ContainsFunc(l.plan.Cells, func(c plan.Cell) bool { return c.Search != nil }) {
		names = append(names, metric.SearchValue)
	}
	for _, b := range l.blocks["threshold"] {
		if !l.known(b.Body, t, nil) {
			continue
		}
		a, ok := b.Body.Attributes["condition"]
		if !ok {
			l.errorf(b.DefRange(), "Attribute missing", "%s", missing(t.Attrs[0]))
			continue
		}
		v := l.attrs(b.Body, without(t.Attrs, "condition", "where"), where{binding: schema.Load})
		c := &compiler{loader: l, root: "result", names: names, full: metric.FullPath, what: "threshold", nulls: func([]string, bool) int { return metric.NullIsUnknown }}
		p := c.compile(a.Expr, true)
		if p == nil {
			continue
		}
		th := plan.Threshold{Name: b.Labels[0], Source: l.text(a.Expr.Range()), ErrorMessage: v.String("error_message"), Phase: v.String("phase"), Over: v.String("over"), Program: p, Range: place(a.Expr.Range()), Where: l.whereOf(b)}
		l.meant(b, &th)
		l.plan.Thresholds = append(l.plan.Thresholds, th)
	}
}

func (l *loader) whereOf(b *hclsyntax.Block) map[string]string {
	a, ok := b.Body.Attributes["where"]
	if !ok {
		return nil
	}
	v, ok := l.scope.eval(a.Expr, where{what: "attribute where", binding: schema.Load})
	if !ok {
		return nil
	}
	if v.IsMarked() || v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()) {
		l.errorf(a.Expr.Range(), "Wrong value", "where must be an object, as in { concurrency = 16 }.")
		return nil
	}
	out := map[string]string{}
	for k, x := range v.AsValueMap() {
		s, err := axisValue(x)
		if err != nil {
			l.errorf(a.Expr.Range(), "Wrong value", "where: %s: %s.", k, err)
		}
		out[k] = s
	}
	return out
}

// meant checks that a threshold means some cell and one phase of each.
func (l *loader) meant(b *hclsyntax.Block, t *plan.Threshold) {
	if l.diags.HasErrors() {
		return // cells may be missing
	}
	matches := 0
	for i := range l.plan.Cells {
		c := &l.plan.Cells[i]
		fits := true
		for axis, want := range t.Where {
			got, ok := c.Address.Value(axis)
			fits = fits && ok && got == want
		}
		if !fits {
			continue
		}
		measured := 0
		for _, p := range c.Phases {
			if p.Measure {
				measured++
				if t.Phase == "" || p.Name == t.Phase {
					matches++
				}
			}
		}
		if measured > 1 && t.Phase == "" {
			l.errorf(b.DefRange(), "Threshold that means several phases", "%s measures %d phases: set phase.", c.Address, measured)
			return
		}
	}
	if matches == 0 {
		l.errorf(b.DefRange(), "Threshold that means nothing", "No cell has the phase and axis values that it names.")
	}
}
