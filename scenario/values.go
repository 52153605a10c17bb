package scenario

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"sparkrun/scenario/dist"
	"sparkrun/scenario/schema"
)

// Distributions and ramps are values of types of their own.
var (
	distType = cty.Capsule("distribution", reflect.TypeFor[distribution]())
	rampType = cty.Capsule("ramp", reflect.TypeFor[[2]float64]())
)

// distribution is a dist.Dist and whether its numbers were durations.
type distribution struct {
	dist.Dist
	time, plain bool
}

var rampFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "from", Type: cty.Number}, {Name: "to", Type: cty.Number}},
	Type:   function.StaticReturnType(rampType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.CapsuleVal(rampType, &[2]float64{float(args[0]), float(args[1])}), nil
	},
})

// distFuncs are the distributions by name: some take a list of arguments, most an object.
var distFuncs = map[string]function.Function{
	"uniform": distFunc(2, func(d *distribution, a []cty.Value) error {
		d.Kind = dist.Uniform
		return firstErr(d.param(&d.Min, a[0]), d.param(&d.Max, a[1]))
	}),
	"choice": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "values", Type: cty.DynamicPseudoType}}, VarParam: &function.Parameter{Name: "weights", Type: cty.DynamicPseudoType},
		Type: function.StaticReturnType(distType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			d := &distribution{Dist: dist.Dist{Kind: dist.Choice}}
			var err error
			if d.Values, err = d.numbers(args[0]); err == nil && len(args) > 1 {
				w := &distribution{}
				d.Weights, err = w.numbers(args[1])
			}
			return d.value("choice", args, err)
		},
	}),
	"normal":      objectDist(dist.Normal, "mean", "std", "min", "max"),
	"lognormal":   objectDist(dist.Lognormal, "mean", "median_ratio", "mu", "sigma", "min", "max"),
	"exponential": objectDist(dist.Exponential, "mean", "min", "max"),
	"poisson":     objectDist(dist.Poisson, "mean", "min", "max"),
	"zipf":        objectDist(dist.Zipf, "alpha", "min", "max"),
}

func firstErr(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

func distFunc(n int, fill func(d *distribution, args []cty.Value) error) function.Function {
	var params []function.Parameter
	for i := range n {
		params = append(params, function.Parameter{Name: fmt.Sprintf("p%d", i), Type: cty.DynamicPseudoType})
	}
	return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(distType), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		d := &distribution{}
		err := fill(d, args)
		return d.value(string(d.Kind), args, err)
	}})
}

// objectDist is a distribution that takes one object of parameters.
func objectDist(kind dist.Kind, names ...string) function.Function {
	return distFunc(1, func(d *distribution, a []cty.Value) error {
		d.Kind = kind
		if !a[0].Type().IsObjectType() && !a[0].Type().IsMapType() {
			return fmt.Errorf("write it as %s({ %s = … })", kind, names[0])
		}
		into := map[string]**float64{"mean": &d.Mean, "std": &d.Std, "min": &d.Min, "max": &d.Max, "median_ratio": &d.MedianRatio, "mu": &d.Mu, "sigma": &d.Sigma, "alpha": &d.Alpha}
		for k, v := range a[0].AsValueMap() {
			if !contains(names, k) {
				return fmt.Errorf("%s has no parameter %q.%s", kind, k, didYouMean(k, names))
			}
			var err error
			switch k {
			case "median_ratio", "mu", "sigma", "alpha":
				other := &distribution{}
				err = other.param(into[k], v)
			default:
				err = d.param(into[k], v)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		return nil
	})
}

func contains(names []string, s string) bool {
	for _, n := range names {
		if n == s {
			return true
		}
	}
	return false
}

// value checks a distribution and makes it a value with its source, so that plan and
// digest can show it.
func (d *distribution) value(name string, args []cty.Value, err error) (cty.Value, error) {
	if err == nil {
		var parts []string
		for _, a := range args {
			parts = append(parts, literal(a))
		}
		d.Source = name + "(" + strings.Join(parts, ", ") + ")"
		_, err = dist.New(d.Dist)
	}
	if err != nil {
		return cty.UnknownVal(distType), err
	}
	return cty.CapsuleVal(distType, d), nil
}

// param takes a number, or a duration as nanoseconds.
func (d *distribution) param(into **float64, v cty.Value) error {
	f, err := d.number(v)
	if err == nil {
		*into = &f
	}
	return err
}

func (d *distribution) number(v cty.Value) (float64, error) {
	switch {
	case v.IsNull() || !v.IsKnown():
		return 0, fmt.Errorf("the parameter is not set")
	case v.Type() == cty.Number:
		d.plain = true
		return float(v), nil
	case v.Type() == cty.String:
		d.time = true
		t, err := parseDuration(v.AsString())
		return float64(t), err
	}
	return 0, fmt.Errorf("a parameter must be a number or a duration, not %s", v.Type().FriendlyName())
}

func (d *distribution) numbers(v cty.Value) ([]float64, error) {
	if !v.CanIterateElements() {
		return nil, fmt.Errorf("the parameter must be a list")
	}
	var out []float64
	for it := v.ElementIterator(); it.Next(); {
		_, x := it.Element()
		f, err := d.number(x)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func float(v cty.Value) float64 {
	f, _ := v.AsBigFloat().Float64()
	return f
}

// number prints a number in its shortest form.
func number(v cty.Value) string {
	f := v.AsBigFloat()
	if f.IsInt() {
		return f.Text('f', 0)
	}
	x, _ := f.Float64()
	return new(big.Float).SetFloat64(x).Text('g', -1)
}

// literal prints a value as a scenario could write it.
func literal(v cty.Value) string {
	v, _ = v.UnmarkDeep()
	switch {
	case v.IsNull():
		return "null"
	case !v.IsKnown():
		return "?"
	case v.Type() == cty.Number:
		return number(v)
	case v.Type() == cty.String:
		return fmt.Sprintf("%q", v.AsString())
	case v.Type() == cty.Bool:
		return fmt.Sprint(v.True())
	case v.Type() == distType:
		return v.EncapsulatedValue().(*distribution).String()
	case v.Type() == rampType:
		r := v.EncapsulatedValue().(*[2]float64)
		return fmt.Sprintf("ramp(%v, %v)", r[0], r[1])
	case v.Type().Equals(reference):
		return v.GetAttr("address").AsString()
	case v.Type().IsObjectType() || v.Type().IsMapType():
		var parts []string
		m := v.AsValueMap()
		for _, k := range keys(m) {
			parts = append(parts, k+" = "+literal(m[k]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case v.CanIterateElements():
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			_, x := it.Element()
			parts = append(parts, literal(x))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return v.Type().FriendlyName()
}

// decode makes the Go value of an attribute's type. path resolves input files.
func decode(v cty.Value, t schema.Type, path func(string) string) (any, error) {
	plain, marks := v.Unmark()
	_, secret := marks[sensitive]
	wrong := func() error {
		return fmt.Errorf("it must be a %s, not %s", t, kindOfValue(plain))
	}
	if secret && t != schema.String {
		return nil, fmt.Errorf("it is sensitive, and this attribute is shown in the plan: use nonsensitive(…) if it may be")
	}
	switch t {
	case schema.String, schema.Path:
		if plain.Type() != cty.String {
			return nil, wrong()
		}
		if t == schema.Path {
			return path(plain.AsString()), nil
		}
		return textOf(v), nil
	case schema.Int:
		if plain.Type() != cty.Number {
			return nil, wrong()
		}
		n, acc := plain.AsBigFloat().Int64()
		if acc != big.Exact {
			return nil, fmt.Errorf("%s is not a whole number", number(plain))
		}
		if n < 0 {
			return nil, fmt.Errorf("%d is below 0", n)
		}
		return n, nil
	case schema.Float:
		if plain.Type() != cty.Number {
			return nil, wrong()
		}
		return float(plain), nil
	case schema.Bool:
		if plain.Type() != cty.Bool {
			return nil, wrong()
		}
		return plain.True(), nil
	case schema.Duration:
		if plain.Type() != cty.String {
			return nil, fmt.Errorf(`it must be a duration in quotes, as in "20s", not %s`, kindOfValue(plain))
		}
		d, err := parseDuration(plain.AsString())
		if err == nil && d < 0 {
			err = fmt.Errorf("%s is below 0", d)
		}
		return d, err
	case schema.Dist, schema.TimeDist:
		return decodeDist(plain, t == schema.TimeDist, wrong)
	case schema.Level:
		switch plain.Type() {
		case rampType:
			return *plain.EncapsulatedValue().(*[2]float64), nil
		case cty.Number:
			return [2]float64{float(plain), float(plain)}, nil
		}
		return nil, wrong()
	case schema.StringList, schema.PathList:
		return decodeStrings(plain, t, path, wrong)
	case schema.StringMap:
		if !plain.Type().IsObjectType() && !plain.Type().IsMapType() {
			return nil, wrong()
		}
		out := map[string]schema.Text{}
		for k, x := range plain.AsValueMap() {
			u, _ := x.Unmark()
			if u.IsNull() { // left out, as in options: what is not set is not the empty string
				continue
			}
			if u.Type() != cty.String {
				return nil, fmt.Errorf("%s must be a string, not %s", k, kindOfValue(u))
			}
			out[k] = textOf(x)
		}
		return out, nil
	case schema.Object:
		if !plain.Type().IsObjectType() && !plain.Type().IsMapType() {
			return nil, wrong()
		}
		x, err := plainValue(plain)
		return x, err
	}
	return nil, wrong()
}

func decodeDist(v cty.Value, isTime bool, wrong func() error) (any, error) {
	switch v.Type() {
	case distType:
		d := v.EncapsulatedValue().(*distribution)
		if isTime && d.plain && d.Kind != dist.Lognormal {
			return nil, fmt.Errorf(`its numbers must be durations, as in "500ms"`)
		}
		if !isTime && d.time {
			return nil, fmt.Errorf("its numbers must be plain numbers, not durations")
		}
		return d.Dist, nil
	case cty.Number:
		if isTime && float(v) != 0 {
			return nil, fmt.Errorf(`it must be a duration, as in "500ms"`)
		}
		if float(v) < 0 {
			return nil, fmt.Errorf("%s is below 0", number(v))
		}
		return dist.Const(float(v)), nil
	case cty.String:
		if !isTime {
			return nil, wrong()
		}
		d, err := parseDuration(v.AsString())
		if err == nil && d < 0 {
			err = fmt.Errorf("%s is below 0", d)
		}
		return dist.Const(float64(d)), err
	}
	return nil, wrong()
}

func decodeStrings(v cty.Value, t schema.Type, path func(string) string, wrong func() error) (any, error) {
	if !v.CanIterateElements() || v.Type().IsObjectType() || v.Type().IsMapType() {
		return nil, wrong()
	}
	var texts []schema.Text
	var paths []string
	for it := v.ElementIterator(); it.Next(); {
		_, x := it.Element()
		u, _ := x.Unmark()
		if u.IsNull() || u.Type() != cty.String {
			return nil, fmt.Errorf("its elements must be strings, not %s", kindOfValue(u))
		}
		texts = append(texts, textOf(x))
		paths = append(paths, path(u.AsString()))
	}
	if t == schema.PathList {
		return paths, nil
	}
	return texts, nil
}

// textOf is a string value that remembers whether it is secret.
func textOf(v cty.Value) schema.Text {
	plain, marks := v.Unmark()
	if _, secret := marks[sensitive]; secret {
		return schema.Secret(plain.AsString())
	}
	return schema.Plain(plain.AsString())
}

// plainValue is a value as JSON would have it, strings as schema.Text.
func plainValue(v cty.Value) (any, error) {
	u, marks := v.Unmark()
	if len(marks) > 0 && (u.IsNull() || u.Type() != cty.String) {
		return nil, fmt.Errorf("a part of it is sensitive and no string")
	}
	switch {
	case u.IsNull():
		return nil, nil
	case u.Type() == cty.String:
		return textOf(v), nil
	case u.Type() == cty.Bool:
		return u.True(), nil
	case u.Type() == cty.Number:
		f := float(u)
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f), nil
		}
		return f, nil
	case u.Type().Equals(reference):
		return schema.Plain(u.GetAttr("address").AsString()), nil
	case u.Type().IsObjectType() || u.Type().IsMapType():
		out := map[string]any{}
		for k, x := range u.AsValueMap() {
			var err error
			if out[k], err = plainValue(x); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
		return out, nil
	case u.CanIterateElements():
		out := []any{}
		for it := u.ElementIterator(); it.Next(); {
			_, x := it.Element()
			p, err := plainValue(x)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s is not allowed in it", u.Type().FriendlyName())
}

// strings makes plain strings of the Texts in a JSON-like value; secrets are an error.
func withoutText(v any) (any, error) {
	switch x := v.(type) {
	case schema.Text:
		if x.Sensitive() {
			return nil, fmt.Errorf("it is sensitive; secrets may be in headers only")
		}
		return x.Reveal(), nil
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			var err error
			if out[k], err = withoutText(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			var err error
			if out[i], err = withoutText(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case time.Duration:
		return x.String(), nil
	}
	return v, nil
}

func kindOfValue(v cty.Value) string {
	switch {
	case v.IsNull():
		return "null"
	case v.Type().Equals(reference):
		return "a reference to " + v.GetAttr("address").AsString()
	case v.Type() == cty.String:
		return "a string"
	case v.Type() == cty.Number:
		return "a number"
	case v.Type() == cty.Bool:
		return "a bool"
	case v.Type().IsObjectType() || v.Type().IsMapType():
		return "an object"
	case v.CanIterateElements():
		return "a list"
	}
	return "a " + v.Type().FriendlyName()
}
