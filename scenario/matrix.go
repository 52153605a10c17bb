package scenario

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"sparkrun/scenario/schema"
)

// point is a combination of matrix values.
type point struct {
	names  []string // axes in the file's order
	values map[string]cty.Value
	// variant is the server's, with the values of its own axes, where it has some; variantOf
	// the axis that shows it.
	variant, variantOf string
}

func (p point) clone() point {
	v := map[string]cty.Value{}
	for k, x := range p.values {
		v[k] = x
	}
	return point{names: slices.Clone(p.names), values: v, variant: p.variant, variantOf: p.variantOf}
}

func (p *point) set(name string, v cty.Value) {
	if _, ok := p.values[name]; !ok {
		p.names = append(p.names, name)
	}
	p.values[name] = v
}

// matrix makes the combinations of a block's axes; b is nil where it has none.
func (l *loader) matrix(b *hclsyntax.Block) ([]point, bool) {
	points := []point{{values: map[string]cty.Value{}}}
	if b == nil {
		return points, true
	}
	good := true
	for _, in := range b.Body.Blocks {
		l.errorf(in.DefRange(), "Unknown block", "matrix {} has lines AXIS = [values] only.")
		good = false
	}
	for _, a := range sorted(b.Body.Attributes) {
		if a.Name == "exclude" || a.Name == "include" {
			continue
		}
		values, ok := l.list(a, "axis "+a.Name)
		good = good && ok
		if a.Name == "benchmark" || a.Name == "repeat" {
			l.errorf(a.NameRange, "Wrong name", "%s is part of every address and can't be an axis.", a.Name)
			good = false
		}
		if ok && len(values) == 0 {
			l.errorf(a.Expr.Range(), "Axis without values", "axis %s is empty, so that there is nothing to run.", a.Name)
			good = false
		}
		printed := map[string]bool{}
		for _, v := range values {
			s, err := axisValue(v)
			if err == nil && printed[s] {
				err = fmt.Errorf("%s is there twice", s)
			}
			if err != nil {
				l.errorf(a.Expr.Range(), "Wrong value", "axis %s: %s.", a.Name, err)
				good = false
			}
			printed[s] = true
		}
		if len(points)*len(values) > maxCells {
			l.errorf(a.NameRange, "Too many cells", "With axis %s there are more than %d combinations.", a.Name, maxCells)
			return nil, false
		}
		var next []point
		for _, p := range points {
			for _, v := range values {
				q := p.clone()
				q.set(a.Name, v)
				next = append(next, q)
			}
		}
		points = next
	}
	if !good {
		return nil, false
	}
	if a, ok := b.Body.Attributes["exclude"]; ok {
		for _, o := range l.objects(b, a, &good) {
			points = slices.DeleteFunc(points, func(p point) bool { return p.has(o) })
		}
	}
	if a, ok := b.Body.Attributes["include"]; ok {
		points = include(points, l.objects(b, a, &good))
	}
	return points, good
}

// include works as in GitHub Actions: an object that contradicts no combination's own
// axis extends those combinations; one that fits none is a combination by itself.
func include(points []point, objects []map[string]cty.Value) []point {
	original := make([]map[string]cty.Value, len(points))
	for i, p := range points {
		original[i] = p.clone().values
	}
	for _, o := range objects {
		fits := false
		for i := range original {
			clash := false
			for k, v := range o {
				if own, ok := original[i][k]; ok && !equal(own, v) {
					clash = true
				}
			}
			if clash {
				continue
			}
			fits = true
			for _, k := range keys(o) {
				points[i].set(k, o[k])
			}
		}
		if !fits {
			p := point{values: map[string]cty.Value{}}
			for _, k := range keys(o) {
				p.set(k, o[k])
			}
			points = append(points, p)
		}
	}
	return points
}

func equal(a, b cty.Value) bool {
	x, errX := axisValue(a)
	y, errY := axisValue(b)
	return errX == nil && errY == nil && x == y
}

func (p point) has(o map[string]cty.Value) bool {
	for k, v := range o {
		if own, ok := p.values[k]; !ok || !equal(own, v) {
			return false
		}
	}
	return true
}

// list evaluates an attribute that must be a list.
func (l *loader) list(a *hclsyntax.Attribute, what string) ([]cty.Value, bool) {
	v, ok := l.scope.eval(a.Expr, where{what: what, binding: schema.Load})
	if !ok {
		return nil, false
	}
	if v.IsMarked() || v.ContainsMarked() {
		l.errorf(a.Expr.Range(), "Secret in a place that is shown", "%s is part of addresses and must not be sensitive.", what)
		return nil, false
	}
	if v.IsNull() || !v.CanIterateElements() || v.Type().IsObjectType() || v.Type().IsMapType() {
		l.errorf(a.Expr.Range(), "Wrong value", "%s must be a list, as in [1, 4, 16].", what)
		return nil, false
	}
	var out []cty.Value
	for it := v.ElementIterator(); it.Next(); {
		_, x := it.Element()
		out = append(out, x)
	}
	return out, true
}

func (l *loader) objects(b *hclsyntax.Block, a *hclsyntax.Attribute, good *bool) []map[string]cty.Value {
	values, ok := l.list(a, a.Name)
	*good = *good && ok
	var out []map[string]cty.Value
	for _, v := range values {
		if v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()) || v.Type().Equals(reference) {
			l.errorf(a.Expr.Range(), "Wrong value", "%s must be a list of objects, as in [{ server = server.a, concurrency = 16 }].", a.Name)
			*good = false
			continue
		}
		o := v.AsValueMap()
		for _, k := range keys(o) {
			if _, err := axisValue(o[k]); err != nil {
				l.errorf(a.Expr.Range(), "Wrong value", "%s of %s: %s.", k, a.Name, err)
				*good = false
			}
			if _, isAxis := b.Body.Attributes[k]; a.Name == "exclude" && !isAxis {
				l.errorf(a.Expr.Range(), "Axis that the benchmark lacks", "exclude names %q, which is no axis.%s", k, didYouMean(k, keys(b.Body.Attributes)))
				*good = false
			}
		}
		out = append(out, o)
	}
	return out
}

// axisValue is how a value of an axis prints in addresses.
func axisValue(v cty.Value) (string, error) {
	switch {
	case v.IsNull():
		return "", fmt.Errorf("a value of it is null")
	case v.Type().Equals(reference):
		return v.GetAttr("name").AsString(), nil
	case v.Type() == cty.Number:
		return number(v), nil
	case v.Type() == cty.String:
		return v.AsString(), nil
	case v.Type() == cty.Bool:
		return fmt.Sprint(v.True()), nil
	case v.Type().IsObjectType() && v.Type().HasAttribute("name"):
		if n := v.GetAttr("name"); n.Type() == cty.String && !n.IsNull() {
			return n.AsString(), nil
		}
	}
	return "", fmt.Errorf("a value must be a number, a string, a bool, a server or a dataset, or an object with a name; it is %s", kindOfValue(v))
}
