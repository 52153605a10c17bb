package scenario

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"sparkrun/scenario/schema"
)

// sensitive marks values that must not be shown.
const sensitive = "sensitive"

// scope is what expressions can name.
type scope struct {
	l         *loader
	functions map[string]function.Function
	vars      map[string]cty.Value
	locals    map[string]cty.Value
	blocks    map[string]map[string]cty.Value // node, server, dataset, phase → name → reference
	// evaluating is the chain of locals under way, to find circles.
	localAttrs map[string]*hclsyntax.Attribute
	evaluating []string
}

// reference is the type of a reference to a block.
var reference = cty.Object(map[string]cty.Type{"name": cty.String, "kind": cty.String, "address": cty.String})

func newScope(l *loader) *scope {
	s := &scope{l: l, vars: map[string]cty.Value{}, locals: map[string]cty.Value{}, localAttrs: map[string]*hclsyntax.Attribute{}, blocks: map[string]map[string]cty.Value{}}
	for _, kind := range []string{"node", "server", "dataset", "phase", "benchmark"} {
		s.blocks[kind] = map[string]cty.Value{}
		for _, b := range l.blocks[kind] {
			s.add(kind, b.Labels[0], l.kindOf(b))
		}
	}
	s.add("node", "local", "local")
	s.functions = functions(l)
	return s
}

func (s *scope) add(block, name, kind string) {
	s.blocks[block][name] = cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name), "kind": cty.StringVal(kind), "address": cty.StringVal(block + "." + name)})
}

// kindOf is the kind that a block is of: its attribute, if it is a plain string, or its label.
func (l *loader) kindOf(b *hclsyntax.Block) string {
	name := map[string]string{"server": "framework", "dataset": "type", "sink": "type"}[b.Type]
	if a, ok := b.Body.Attributes[name]; ok {
		if v, diags := a.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
			return v.AsString()
		}
	}
	if len(b.Labels) == 0 {
		return ""
	}
	return b.Labels[0]
}

// context is what an expression at w may read.
func (s *scope) context(w where) *hcl.EvalContext {
	vars := map[string]cty.Value{"var": cty.ObjectVal(s.vars), "local": cty.ObjectVal(s.locals)}
	for kind, refs := range s.blocks {
		vars[kind] = cty.ObjectVal(refs)
	}
	if w.matrix != nil {
		vars["matrix"] = cty.ObjectVal(w.matrix)
	}
	if w.search != nil {
		vars["search"] = cty.ObjectVal(map[string]cty.Value{"value": cty.NumberFloatVal(*w.search)})
	}
	return &hcl.EvalContext{Variables: vars, Functions: s.functions}
}

// where an expression stands: what it may name, and how errors call it.
type where struct {
	matrix  map[string]cty.Value // nil: known when the file is loaded
	what    string               // "attribute duration"
	binding schema.Binding
	// benchmark is the one whose cell is being made, for errors.
	benchmark string
	server    string // the one whose matrix it may name
	// search is the value that a search tries, nil outside its phases; used is set when it
	// is asked for.
	search *float64
	used   *bool
}

// check reports names in an expression that mean nothing here.
func (s *scope) check(expr hcl.Expression, w where) bool {
	ok := true
	tried := attempts(expr)
	for _, t := range expr.Variables() {
		if t.RootName() == "matrix" && w.matrix != nil && slices.ContainsFunc(tried, func(r hcl.Range) bool { return r.Overlaps(t.SourceRange()) }) {
			continue // an axis that only some cells have may be tried
		}
		ok = s.name(t, w) && ok
	}
	return ok
}

// attempts are the calls of try and can in an expression.
func attempts(expr hcl.Expression) []hcl.Range {
	var out []hcl.Range
	if node, ok := expr.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && (call.Name == "try" || call.Name == "can") {
				out = append(out, call.Range())
			}
			return nil
		})
	}
	return out
}

func (s *scope) name(t hcl.Traversal, w where) bool {
	root := t.RootName()
	at := t.SourceRange()
	var second string
	if len(t) > 1 {
		if a, ok := t[1].(hcl.TraverseAttr); ok {
			second = a.Name
		}
	}
	var names []string
	switch root {
	case "var":
		names = keys(s.vars)
	case "local":
		if _, ok := s.localAttrs[second]; ok {
			return s.local(second, at)
		}
		names = keys(s.localAttrs)
	case "node", "server", "dataset", "phase", "benchmark":
		names = keys(s.blocks[root])
	case "matrix":
		switch {
		case w.matrix == nil:
			s.l.errorf(at, "Value known too late", "%s is needed when the file is loaded; matrix.%s is known in the cells of a benchmark only.", w.what, second)
			return false
		case second == "":
			return true
		}
		if _, ok := w.matrix[second]; !ok {
			owner := fmt.Sprintf("benchmark %q", w.benchmark)
			if w.server != "" {
				owner = fmt.Sprintf("server %q", w.server)
			}
			s.l.errorf(at, "Axis that is not there", "%s has no axis %q.%s", owner, second, didYouMean(second, keys(w.matrix)))
			return false
		}
		return true
	case "search":
		switch {
		case w.search == nil:
			s.l.errorf(at, "Unknown name", "search.value is what a search tries: it is known in the phases of a benchmark with a search block only.")
			return false
		case second != "value":
			s.l.errorf(at, "Unknown name", "A search has search.value alone.")
			return false
		}
		*w.used = true
		return true
	case "request", "result", "baseline", "peer":
		s.l.errorf(at, "Value known too late", "%s is needed %s; %s.* is known %s.", w.what,
			map[schema.Binding]string{schema.Load: "when the file is loaded", schema.Cell: "before a cell runs"}[min(w.binding, schema.Cell)], root,
			map[string]string{"request": "in a metric or slo, after each request", "search": "in a later version"}[root]+map[bool]string{true: "in a threshold, after the run"}[root != "request" && root != "search"])
		return false
	default:
		if len(t) == 1 {
			s.l.errorf(at, "Unknown name", "There is no %s here. A text is written in quotes: %q.", root, root)
			return false
		}
		s.l.errorf(at, "Unknown name", "There is no %q here.%s", root, didYouMean(root, []string{"var", "local", "matrix", "node", "server", "dataset", "phase", "request", "result"}))
		return false
	}
	if second == "" || slices.Contains(names, second) {
		return true
	}
	what := map[string]string{"var": "variable", "local": "local"}[root]
	if what == "" {
		what = root
	}
	s.l.errorf(at, "Unknown "+what, "There is no %s %q.%s", what, second, didYouMean(second, names))
	return false
}

// local evaluates a local where it is first needed.
func (s *scope) local(name string, at hcl.Range) bool {
	if _, ok := s.locals[name]; ok {
		return true
	}
	if slices.Contains(s.evaluating, name) {
		s.l.errorf(at, "Locals in a circle", "local.%s needs itself: %s.", name, strings.Join(append(s.evaluating, name), " → "))
		s.locals[name] = cty.DynamicVal
		return false
	}
	s.evaluating = append(s.evaluating, name)
	defer func() { s.evaluating = s.evaluating[:len(s.evaluating)-1] }()
	v, ok := s.eval(s.localAttrs[name].Expr, where{what: "local." + name})
	if !ok {
		v = cty.DynamicVal
	}
	s.locals[name] = v
	return ok
}

// eval evaluates an expression. A value that follows from another mistake is unknown,
// and not ok without another diagnostic.
func (s *scope) eval(expr hcl.Expression, w where) (cty.Value, bool) {
	if !s.check(expr, w) {
		return cty.DynamicVal, false
	}
	v, diags := expr.Value(s.context(w))
	if diags.HasErrors() {
		s.l.diags = append(s.l.diags, diags...)
		return cty.DynamicVal, false
	}
	return v, v.IsWhollyKnown()
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// functions are the language's functions.
func functions(l *loader) map[string]function.Function {
	f := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "min": stdlib.MinFunc, "max": stdlib.MaxFunc, "pow": stdlib.PowFunc,
		"length": stdlib.LengthFunc, "range": stdlib.RangeFunc, "contains": stdlib.ContainsFunc, "concat": stdlib.ConcatFunc, "distinct": stdlib.DistinctFunc,
		"flatten": stdlib.FlattenFunc, "keys": stdlib.KeysFunc, "values": stdlib.ValuesFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc,
		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc, "format": stdlib.FormatFunc, "join": stdlib.JoinFunc, "split": stdlib.SplitFunc, "replace": stdlib.ReplaceFunc,
		"regex": stdlib.RegexFunc, "upper": stdlib.UpperFunc, "lower": stdlib.LowerFunc, "jsondecode": stdlib.JSONDecodeFunc, "yamldecode": ctyyaml.YAMLDecodeFunc,
		"ramp": rampFunc,
	}
	for name, fn := range distFuncs {
		f[name] = fn
	}
	list := []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType, AllowMarked: false}}
	fold := func(ret cty.Type, start cty.Value, step func(a, b cty.Value) (cty.Value, error)) function.Function {
		return function.New(&function.Spec{Params: list, Type: function.StaticReturnType(ret), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].CanIterateElements() {
				return cty.UnknownVal(ret), function.NewArgErrorf(0, "it must be a list")
			}
			v := start
			for it := args[0].ElementIterator(); it.Next(); {
				_, x := it.Element()
				if x.Type() != ret {
					return cty.UnknownVal(ret), function.NewArgErrorf(0, "its elements must be of type %s", ret.FriendlyName())
				}
				var err error
				if v, err = step(v, x); err != nil {
					return v, err
				}
			}
			return v, nil
		}})
	}
	f["sum"] = fold(cty.Number, cty.Zero, func(a, b cty.Value) (cty.Value, error) { return a.Add(b), nil })
	f["alltrue"] = fold(cty.Bool, cty.True, func(a, b cty.Value) (cty.Value, error) { return a.And(b), nil })
	f["anytrue"] = fold(cty.Bool, cty.False, func(a, b cty.Value) (cty.Value, error) { return a.Or(b), nil })
	text := func(impl func(s string) (cty.Value, error)) function.Function {
		return function.New(&function.Spec{Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return impl(args[0].AsString())
		}})
	}
	f["basename"] = text(func(s string) (cty.Value, error) { return cty.StringVal(filepath.Base(s)), nil })
	f["file"] = text(func(s string) (cty.Value, error) {
		b, err := l.ReadFile(l.resolve(s, l.plan.Files[0]))
		if err != nil {
			return cty.UnknownVal(cty.String), err
		}
		return cty.StringVal(string(b)), nil
	})
	f["env"] = text(func(s string) (cty.Value, error) {
		v, ok := l.Env(s)
		if !ok {
			return cty.UnknownVal(cty.String), fmt.Errorf("the environment has no %s: set it (export %s=…)", s, s)
		}
		l.secret(v)
		return cty.StringVal(v).Mark(sensitive), nil
	})
	f["nonsensitive"] = function.New(&function.Spec{Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowMarked: true, AllowNull: true}},
		Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, _ := args[0].UnmarkDeep()
			if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				delete(l.secrets, v.AsString())
			}
			return v, nil
		}})
	return f
}

// secret notes a value that must be replaced wherever it is written.
func (l *loader) secret(s string) {
	if s != "" {
		l.secrets[s] = true
	}
}

// resolve makes an input path absolute from the file that names it.
func (l *loader) resolve(path, file string) string {
	if filepath.IsAbs(path) || file == "-" {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// parseDuration reads "20s"; the units are Go's.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`%q is no duration: write it as "500ms", "20s", "2m" or "1h30m"`, s)
	}
	return d, nil
}

// address reads a reference to a block of a type.
func address(v cty.Value, block string) (name string, ok bool) {
	if v.IsNull() || !v.IsKnown() || !v.Type().Equals(reference) {
		return "", false
	}
	a := v.GetAttr("address").AsString()
	name, ok = strings.CutPrefix(a, block+".")
	return name, ok
}
