package scenario

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// variable is a declared input.
type variable struct {
	block     *hclsyntax.Block
	typ       cty.Type
	sensitive bool
	value     cty.Value
	source    string    // who set it
	at        hcl.Range // where, or the block
}

// variables decides the value of every variable: the default, SPARKRUN_VAR_name, then
// the command line in its order.
func (l *loader) variables() {
	declared := map[string]*variable{}
	var order []string
	for _, b := range l.blocks["variable"] {
		name := b.Labels[0]
		declared[name] = l.variable(b)
		order = append(order, name)
	}
	for _, name := range order {
		if text, ok := l.Env("SPARKRUN_VAR_" + name); ok {
			l.setText(declared[name], name, text, "SPARKRUN_VAR_"+name)
		}
	}
	for _, s := range l.Vars {
		if s.File != "" {
			l.setFile(declared, s.File)
			continue
		}
		v, ok := declared[s.Name]
		if !ok {
			l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unknown variable", Detail: fmt.Sprintf("--var %s: the scenario has no variable %q.%s", s.Name, s.Name, didYouMean(s.Name, order))})
			continue
		}
		l.setText(v, s.Name, s.Value, "--var")
	}
	for _, name := range order {
		v := declared[name]
		if v.value == cty.NilVal {
			l.errorf(v.block.DefRange(), "Variable without a value", "Set it with --var %s=…, SPARKRUN_VAR_%s or a default.", name, name)
			v.value = cty.UnknownVal(v.typ)
		}
		shown := schema.Plain(jsonText(v.value))
		if v.sensitive {
			l.secretsOf(v.value)
			v.value = v.value.Mark(sensitive)
			shown = schema.Secret("")
		}
		l.scope.vars[name] = v.value
		l.plan.Variables = append(l.plan.Variables, plan.Variable{Name: name, Value: shown, Source: v.source})
	}
	for _, name := range order {
		l.validate(name, declared[name])
	}
}

func (l *loader) variable(b *hclsyntax.Block) *variable {
	v := &variable{block: b, typ: cty.DynamicPseudoType, source: "default", at: b.DefRange()}
	t := blockType(topBlocks, "variable")
	l.known(b.Body, t, nil)
	if a, ok := b.Body.Attributes["type"]; ok {
		typ, diags := typeexpr.TypeConstraint(a.Expr)
		l.diags = append(l.diags, diags...)
		if !diags.HasErrors() {
			v.typ = typ
		}
	}
	values := l.attrs(b.Body, []schema.Attr{t.Attrs[2], t.Attrs[3]}, where{binding: schema.Load})
	v.sensitive = values.Bool("sensitive")
	if a, ok := b.Body.Attributes["default"]; ok {
		if val, ok := l.scope.eval(a.Expr, where{what: "attribute default", binding: schema.Load}); ok {
			val, err := convert.Convert(val, v.typ)
			if err != nil {
				l.errorf(a.Expr.Range(), "Wrong default", "The default is no %s: %s.", typeexpr.TypeString(v.typ), err)
			} else {
				v.value, v.at = val, a.Expr.Range()
			}
		}
		if v.value == cty.NilVal {
			v.value = cty.UnknownVal(v.typ)
		}
	}
	return v
}

// setText sets a variable from text: a string as it is, anything else as HCL; a list may
// be written a,b,c.
func (l *loader) setText(v *variable, name, text, source string) {
	val, err := fromText(text, v.typ)
	if err != nil {
		shown := text
		if v.sensitive {
			shown = schema.Redacted
		}
		if whole := typeexpr.TypeString(v.typ); !v.typ.IsPrimitiveType() && v.typ != cty.DynamicPseudoType {
			err = fmt.Errorf("%w (%s is a %s)", err, name, whole) // the error may be an element's
		}
		l.errorf(v.block.DefRange(), "Wrong value of a variable", "%s set %s to %s: %s.", source, name, shown, err)
		return
	}
	v.value, v.source, v.at = val, source, v.block.DefRange()
}

func fromText(text string, t cty.Type) (cty.Value, error) {
	if t == cty.String {
		return cty.StringVal(text), nil
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), "value", hcl.InitialPos)
	if !diags.HasErrors() {
		if v, diags := expr.Value(nil); !diags.HasErrors() {
			if c, err := convert.Convert(v, t); err == nil {
				return c, nil
			}
		}
	}
	if t.IsListType() || t.IsSetType() {
		var items []cty.Value
		for item := range strings.SplitSeq(text, ",") {
			v, err := fromText(strings.TrimSpace(item), t.ElementType())
			if err != nil {
				return cty.NilVal, err
			}
			items = append(items, v)
		}
		return convert.Convert(cty.TupleVal(items), t)
	}
	if t == cty.DynamicPseudoType {
		return cty.StringVal(text), nil
	}
	return cty.NilVal, fmt.Errorf("it must be a %s", typeexpr.TypeString(t))
}

// setFile sets variables from the attributes of a .vars.hcl file.
func (l *loader) setFile(declared map[string]*variable, name string) {
	src, err := l.ReadFile(name)
	if err != nil {
		l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Variables that can't be read", Detail: err.Error() + "."})
		return
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	l.diags = append(l.diags, diags...)
	if file == nil {
		return
	}
	l.scenario.Files[name] = file
	body := file.Body.(*hclsyntax.Body)
	for _, b := range body.Blocks {
		l.errorf(b.DefRange(), "Block in a file of variables", "A file of variables has lines name = value only.")
	}
	for _, a := range sorted(body.Attributes) {
		v, ok := declared[a.Name]
		if !ok {
			l.errorf(a.NameRange, "Unknown variable", "The scenario has no variable %q.%s", a.Name, didYouMean(a.Name, keys(declared)))
			continue
		}
		val, diags := a.Expr.Value(nil)
		if l.diags = append(l.diags, diags...); diags.HasErrors() {
			continue
		}
		c, err := convert.Convert(val, v.typ)
		if err != nil {
			l.errorf(a.Expr.Range(), "Wrong value of a variable", "%s must be a %s: %s.", a.Name, typeexpr.TypeString(v.typ), err)
			continue
		}
		v.value, v.source, v.at = c, name, a.Expr.Range()
	}
}

// validate checks a variable's own conditions.
func (l *loader) validate(name string, v *variable) {
	for _, b := range v.block.Body.Blocks {
		if b.Type != "validation" {
			continue
		}
		t := blockType(blockType(topBlocks, "variable").Blocks, "validation")
		values := l.attrs(b.Body, t.Attrs, where{binding: schema.Load})
		l.known(b.Body, t, nil)
		if ok, is := values["condition"].(bool); is && !ok {
			l.errorf(v.at, "Value that the scenario refuses", "%s (%s; set by %s)", values.String("error_message"), "variable "+name, v.source)
		}
	}
}

func (l *loader) secretsOf(v cty.Value) {
	_ = cty.Walk(v, func(_ cty.Path, x cty.Value) (bool, error) {
		if x.Type() == cty.String && x.IsKnown() && !x.IsNull() {
			l.secret(x.AsString())
		}
		return true, nil
	})
}

func jsonText(v cty.Value) string {
	if !v.IsWhollyKnown() {
		return ""
	}
	v, _ = v.UnmarkDeep()
	b, err := json.Marshal(ctyjson.SimpleJSONValue{Value: v})
	if err != nil {
		return ""
	}
	return string(b)
}

// locals makes every local known to the scope; they are evaluated where first named.
func (l *loader) locals() {
	var all []*hclsyntax.Attribute
	for _, b := range l.blocks["locals"] {
		for _, inner := range b.Body.Blocks {
			l.errorf(inner.DefRange(), "Block inside locals", "locals {} has lines name = value only.")
		}
		for _, a := range sorted(b.Body.Attributes) {
			if _, twice := l.scope.localAttrs[a.Name]; twice {
				l.errorf(a.NameRange, "Name used twice", "local.%s is declared already.", a.Name)
				continue
			}
			l.scope.localAttrs[a.Name] = a
			all = append(all, a)
		}
	}
	for _, a := range all {
		l.scope.local(a.Name, a.NameRange)
	}
}

// known reports attributes and blocks that a block does not have. extra are attributes
// of its kind.
func (l *loader) known(body *hclsyntax.Body, t BlockType, extra []schema.Attr) bool {
	ok := true
	var names, blocks []string
	for _, a := range slices.Concat(t.Attrs, extra) {
		names = append(names, a.Name)
	}
	for _, b := range t.Blocks {
		blocks = append(blocks, b.Name)
	}
	for _, a := range sorted(body.Attributes) {
		if slices.Contains(names, a.Name) {
			continue
		}
		ok = false
		hint := didYouMean(a.Name, names)
		if slices.Contains(blocks, a.Name) {
			hint = fmt.Sprintf(" It is a block: write %s { … } without \"=\".", a.Name)
		}
		l.errorf(a.NameRange, "Unknown attribute", "A %s has no attribute %q.%s", t.Name, a.Name, hint)
	}
	for _, b := range body.Blocks {
		if slices.Contains(blocks, b.Type) {
			continue
		}
		ok = false
		hint := didYouMean(b.Type, blocks)
		if slices.Contains(names, b.Type) {
			hint = fmt.Sprintf(" It is an attribute: write %s = { … }.", b.Type)
		}
		l.errorf(b.TypeRange, "Unknown block", "A %s has no block %q.%s", t.Name, b.Type, hint)
	}
	return ok
}

// attrs decodes the attributes of a body that attrs declares.
func (l *loader) attrs(body *hclsyntax.Body, attrs []schema.Attr, w where) schema.Values {
	out := schema.Values{}
	for i := range attrs {
		a := &attrs[i]
		src, ok := body.Attributes[a.Name]
		if !ok {
			if a.Required {
				l.errorf(body.MissingItemRange(), "Attribute missing", "%s", missing(*a))
			}
			if a.Default != nil {
				out[a.Name] = a.Default
			}
			continue
		}
		here := w
		here.what = "attribute " + a.Name
		if a.Binding == schema.Load && w.server == "" {
			here.matrix, here.binding = nil, schema.Load
		}
		v, ok := l.scope.eval(src.Expr, here)
		if !ok {
			l.unknown++
			continue
		}
		if u, _ := v.Unmark(); u.IsNull() {
			if a.Default != nil {
				out[a.Name] = a.Default
			}
			continue
		}
		x, err := decode(v, a.Type, func(p string) string { return l.resolve(p, src.SrcRange.Filename) })
		if err != nil {
			l.errorf(src.Expr.Range(), "Wrong value", "%s: %s.", a.Name, err)
			continue
		}
		if t, is := x.(schema.Text); is && len(a.Values) > 0 && !slices.Contains(a.Values, t.Reveal()) {
			l.errorf(src.Expr.Range(), "Wrong value", "%s is %q: it must be one of %s.%s", a.Name, t, strings.Join(a.Values, ", "), Nearest(t.Reveal(), a.Values))
			continue
		}
		out[a.Name] = x
	}
	return out
}

// missing says what a required attribute is.
func missing(a schema.Attr) string {
	return fmt.Sprintf("Set %s (%s%s).", a.Name, strings.ToLower(a.Doc[:1]), strings.TrimSuffix(a.Doc[1:], "."))
}

// Nearest is a sentence that names the nearest of the names, "" where none is near.
func Nearest(got string, names []string) string {
	if s := didYouMean(got, names); strings.HasPrefix(s, " Did") {
		return s
	}
	return ""
}
