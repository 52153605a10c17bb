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
	root  string   // "request" or "result"
	names []string // columns that there are
	full  func(string) string
	nulls func(columns []string, positive bool) int
	what  string
	// comparing says that baseline.* and peer({…}).* may be named too; peers are those
	// that were, and where.
	comparing bool
	peers     map[string]peer
	out       metric.Program
	height    int
}

// peer is a cell that differs from the one at hand in these axis values.
type peer struct {
	axes map[string]string
	at   hcl.Range
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
	case *hclsyntax.RelativeTraversalExpr:
		return false, c.peer(e)
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
	calls := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		call, is := n.(*hclsyntax.FunctionCallExpr)
		calls = calls || is && call.Name == "peer"
		return nil
	})
	return calls || slices.ContainsFunc(e.Variables(), func(t hcl.Traversal) bool {
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
	switch root := t.RootName(); {
	case root == c.root:
		return c.number(c.root, "", t[1:], t.SourceRange())
	case root == "baseline" && c.comparing:
		return c.number(root, "baseline.", t[1:], t.SourceRange())
	case root == "peer" && c.comparing:
		c.errorf(t.SourceRange(), "Peer without axes", "Say which cell is meant, as in peer({ server = server.sglang }).ttft_ms.p99.")
	case root == "baseline" || root == "peer":
		c.errorf(t.SourceRange(), "Value known too late", "A %s is computed from %s.*; %s.* is known in a threshold, after the run.", c.what, c.root, root)
	default:
		c.errorf(t.SourceRange(), "Value known too late", "A %s is computed from %s.*; %s.* is known elsewhere.", c.what, c.root, root)
	}
	return false
}

// peer compiles peer({ AXIS = value }).NUMBER.
func (c *compiler) peer(e *hclsyntax.RelativeTraversalExpr) bool {
	call, ok := e.Source.(*hclsyntax.FunctionCallExpr)
	switch {
	case !ok || call.Name != "peer":
		c.errorf(e.Range(), "Expression that can't be computed", "Only %s.* has numbers in it.", c.root)
		return false
	case !c.comparing:
		c.errorf(e.Range(), "Value known too late", "A %s is computed from %s.*; peer(…).* is known in a threshold, after the run.", c.what, c.root)
		return false
	case len(call.Args) != 1:
		c.errorf(call.Range(), "Peer without axes", "Say which cell is meant, as in peer({ server = server.sglang }).ttft_ms.p99.")
		return false
	}
	v, ok := c.scope.eval(call.Args[0], where{what: "the argument of peer", binding: schema.Load})
	if !ok {
		return false
	}
	axes, ok := c.axisValues(v, call.Args[0].Range(), "the argument of peer")
	if !ok {
		return false
	}
	var parts []string
	for _, name := range keys(axes) {
		parts = append(parts, name+"="+axes[name])
	}
	name := "peer(" + strings.Join(parts, ",") + ")"
	if c.peers == nil {
		c.peers = map[string]peer{}
	}
	c.peers[name] = peer{axes, call.Range()}
	return c.number("peer(…)", name+".", e.Traversal, e.Range())
}

// number compiles the steps after root to a column whose name begins with prefix.
func (c *compiler) number(root, prefix string, steps hcl.Traversal, at hcl.Range) bool {
	var parts []string
	for _, step := range steps {
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
			hint = fmt.Sprintf(" Did you mean %s.%s?", root, near)
		} else {
			hint = strings.Replace(hint, `"metrics.`, `"`+root+`.`, 1)
		}
		c.errorf(at, "Unknown number", "There is no %s.%s.%s", root, name, hint)
		return false
	}
	full = prefix + full
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
	if e.Name == "peer" && c.comparing {
		c.errorf(e.Range(), "Cell as a number", "peer(…) is a cell: name a number of it, as in peer({ server = server.sglang }).ttft_ms.p99.")
		return false
	}
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
	complete := !l.diags.HasErrors() // else cells may be missing
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
		c := &compiler{loader: l, root: "result", names: names, full: metric.FullPath, what: "threshold", comparing: true, nulls: func([]string, bool) int { return metric.NullIsUnknown }}
		p := c.compile(a.Expr, true)
		if p == nil {
			continue
		}
		th := plan.Threshold{Name: b.Labels[0], Source: l.text(a.Expr.Range()), ErrorMessage: v.String("error_message"), Phase: v.String("phase"), Over: v.String("over"), Program: p, Range: place(a.Expr.Range()), Where: l.whereOf(b)}
		if complete {
			if cells := l.meant(b, &th); cells != nil {
				l.peers(&th, c.peers, cells)
			}
		}
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
	out, _ := l.axisValues(v, a.Expr.Range(), "where")
	return out
}

// axisValues are the axis values that an object names.
func (l *loader) axisValues(v cty.Value, at hcl.Range, what string) (map[string]string, bool) {
	if v.IsMarked() || v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()) {
		l.errorf(at, "Wrong value", "%s must be an object, as in { concurrency = 16 }.", what)
		return nil, false
	}
	out, ok := map[string]string{}, true
	for k, x := range v.AsValueMap() {
		s, err := axisValue(x)
		if err != nil {
			l.errorf(at, "Wrong value", "%s: %s: %s.", what, k, err)
			ok = false
		}
		out[k] = s
	}
	return out, ok
}

// peers checks that the peers of a threshold are cells of the plan, and keeps them.
func (l *loader) peers(t *plan.Threshold, peers map[string]peer, cells []*plan.Cell) {
	for _, name := range keys(peers) {
		p := peers[name]
		values := map[string][]string{} // of each axis that it names
		fits := false
		for i := range l.plan.Cells {
			other := &l.plan.Cells[i].Address
			same := true
			for axis, want := range p.axes {
				v, has := other.Value(axis)
				if has && !slices.Contains(values[axis], v) {
					values[axis] = append(values[axis], v)
				}
				same = same && has && v == want
			}
			fits = fits || same && slices.ContainsFunc(cells, func(c *plan.Cell) bool { return c.Address.Instead(p.axes).Canonical() == other.Canonical() })
		}
		for _, axis := range keys(p.axes) {
			switch {
			case axis == "benchmark" || axis == "repeat" || values[axis] == nil:
				l.errorf(p.at, "Axis that the benchmark lacks", "A peer is the same cell with another value on an axis of its matrix; there is no axis %q.", axis)
				return
			case !slices.Contains(values[axis], p.axes[axis]):
				l.errorf(p.at, "Peer that is no cell", "No cell has %s = %s. There is: %s.", axis, p.axes[axis], list(values[axis]))
				return
			}
		}
		if len(p.axes) == 0 || !fits {
			l.errorf(p.at, "Peer that is no cell", "No cell that this threshold means has a cell with these values beside it.")
			return
		}
		if t.Peers == nil {
			t.Peers = map[string]map[string]string{}
		}
		t.Peers[name] = p.axes
	}
}

// meant are the cells that a threshold means: some, and one phase of each; nil where it
// can't be said.
func (l *loader) meant(b *hclsyntax.Block, t *plan.Threshold) (cells []*plan.Cell) {
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
					cells = append(cells, c)
				}
			}
		}
		if measured > 1 && t.Phase == "" {
			l.errorf(b.DefRange(), "Threshold that means several phases", "%s measures %d phases: set phase.", c.Address, measured)
			return nil
		}
	}
	if cells == nil {
		l.errorf(b.DefRange(), "Threshold that means nothing", "No cell has the phase and axis values that it names.")
	}
	return cells
}
