package scenario

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// public refuses a sensitive value where it would show in addresses, argv or the process list.
func (l *loader) public(body *hclsyntax.Body, v schema.Values, names ...string) {
	for _, n := range names {
		if t, ok := v[n].(schema.Text); ok && t.Sensitive() {
			l.errorf(body.Attributes[n].Expr.Range(), "Secret in a place that is shown", "%s is shown in plans and process lists and must not be sensitive: use nonsensitive(…) if it may be seen.", n)
		}
	}
}

// kind finds the kind of a block among those of the registry.
func (l *loader) kind(b *hclsyntax.Block, attr string, kinds []schema.Kind) (schema.Kind, bool) {
	name := l.kindOf(b)
	if a, ok := b.Body.Attributes[attr]; ok {
		v, ok := l.scope.eval(a.Expr, where{what: "attribute " + attr, binding: schema.Load})
		if !ok {
			return schema.Kind{}, false
		}
		x, err := decode(v, schema.String, nil)
		if err != nil {
			l.errorf(a.Expr.Range(), "Wrong value", "%s: %s.", attr, err)
			return schema.Kind{}, false
		}
		name = x.(schema.Text).String()
	}
	i := slices.IndexFunc(kinds, func(k schema.Kind) bool { return k.Name == name })
	if i >= 0 {
		return kinds[i], true
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	at, why := b.LabelRanges[0], fmt.Sprintf("Its label names no %s, so set %s to one of %s.", attr, attr, strings.Join(names, ", "))
	if a, ok := b.Body.Attributes[attr]; ok {
		at, why = a.Expr.Range(), fmt.Sprintf("There is no %s %q.%s", attr, name, didYouMean(name, names))
	}
	l.errorf(at, "Unknown "+attr, "%s", why)
	return schema.Kind{}, false
}

func (l *loader) servers() {
	t := blockType(topBlocks, "server")
	l.variants = map[string][]string{}
	for _, b := range l.blocks["server"] {
		kind, ok := l.kind(b, "framework", l.Registry.Frameworks)
		if !ok || !l.known(b.Body, t, kind.Attrs) {
			continue
		}
		matrix := l.matrixOf(b.Body)
		points, ok := l.matrix(matrix)
		if !ok {
			continue
		}
		for _, p := range points {
			w, name := where{binding: schema.Load}, b.Labels[0]
			if matrix != nil {
				w.matrix, w.server = p.values, name
				name = p.addressOf(name)
				l.variants[b.Labels[0]] = append(l.variants[b.Labels[0]], name)
			}
			l.server(b, kind, name, w)
		}
	}
}

// server makes a server of its block: a variant of it where w has values of its axes.
func (l *loader) server(b *hclsyntax.Block, kind schema.Kind, name string, w where) {
	t := blockType(topBlocks, "server")
	before := len(l.diags)
	v := l.attrs(b.Body, slices.Concat(without(t.Attrs, "nodes", "framework", "options"), kind.Attrs), w)
	l.public(b.Body, v, "model", "url", "image", "served_name")
	s := plan.Server{
		Address: addr.Server(name), Name: name, Framework: kind.Name,
		CacheReset: kind.CacheReset,
		URL:        NormalURL(v.String("url")), Model: v.String("model"), Port: int(v.Int("port")), Options: l.options(b, kind, w), Values: v,
	}
	l.place(b, &s, w)
	ready := l.only(b.Body, "ready", readyAttrs, w)
	s.Ready = plan.Ready{Deadline: ready.Duration("deadline"), Stall: ready.Duration("stall")}
	s.Stop = plan.Stop{Grace: l.only(b.Body, "stop", stopAttrs, w).Duration("grace")}
	if box := l.only(b.Body, "container", containerAttrs, w); hasBlock(b.Body, "container") {
		v["container"] = box
		if !v.Has("image") {
			l.errorf(b.DefRange(), "Container without an image", "%s has a container block and no image: set image.", s.Address)
		}
	}
	s.APIKey, _ = v["api_key"].(schema.Text)
	s.Headers, _ = v["headers"].(map[string]schema.Text)
	for _, n := range []string{"url", "model", "port", "api_key", "headers"} {
		delete(v, n)
	}
	l.plan.Servers = append(l.plan.Servers, s)
	if len(l.diags) > before {
		return
	}
	if s.URL != "" && !strings.HasPrefix(s.URL, "http://") && !strings.HasPrefix(s.URL, "https://") {
		l.errorf(b.Body.Attributes["url"].Expr.Range(), "Wrong url", "url is %q: write it as http://HOST:PORT, with or without /v1.", s.URL)
	}
	if s.Port > 65535 {
		l.errorf(b.Body.Attributes["port"].Expr.Range(), "Wrong value", "port is %d: ports end at 65535.", s.Port)
	}
	if kind.Name == "sim" || kind.Name == "openai" {
		refused := engineAttrs
		if kind.Name == "sim" {
			refused = without(engineAttrs, "replicas", "balance")
		}
		for _, a := range refused {
			if src, set := b.Body.Attributes[a.Name]; set {
				l.errorf(src.NameRange, "Attribute without a meaning", "A server of framework %q takes no %s: it is for engines that sparkrun starts.", kind.Name, a.Name)
			}
		}
	}
	l.meets(b, &s)
	l.checkReach(b, &s)
	l.problems(b, kind, mergeValues(v, schema.Values{"url": schema.Plain(s.URL), "options": s.Options, schema.RanksValue: s.Group(0)}))
}

func hasBlock(body *hclsyntax.Body, name string) bool {
	return slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == name })
}

// only decodes the one block of a type inside a block, with defaults where there is none.
func (l *loader) only(body *hclsyntax.Body, name string, attrs []schema.Attr, w where) schema.Values {
	inside := &hclsyntax.Body{}
	found := 0
	for _, b := range body.Blocks {
		if b.Type != name {
			continue
		}
		if found++; found > 1 {
			l.errorf(b.DefRange(), "Block used twice", "A server has one %s block.", name)
			continue
		}
		inside = b.Body
		l.known(inside, blockType(serverBlocks, name), nil)
	}
	return l.attrs(inside, attrs, w)
}

func mergeValues(a, b schema.Values) schema.Values {
	out := schema.Values{}
	for _, v := range []schema.Values{a, b} {
		for k, x := range v {
			if t, ok := x.(schema.Text); ok && t.Reveal() == "" {
				continue
			}
			out[k] = x
		}
	}
	return out
}

func without(attrs []schema.Attr, names ...string) []schema.Attr {
	return slices.DeleteFunc(slices.Clone(attrs), func(a schema.Attr) bool { return slices.Contains(names, a.Name) })
}

// problems reports what a kind finds wrong with a block's values.
func (l *loader) problems(b *hclsyntax.Block, kind schema.Kind, v schema.Values) {
	if kind.Check == nil {
		return
	}
	for _, p := range kind.Check(v) {
		at := b.DefRange()
		if a, ok := b.Body.Attributes[p.Attr]; ok {
			at = a.Expr.Range()
		}
		report := l.errorf
		if p.Warning {
			report = l.warnf
		}
		report(at, p.Summary, "%s", p.Detail)
	}
}

// NormalURL is a server's address with /v1 at its end.
func NormalURL(u string) string {
	u = strings.TrimRight(u, "/")
	if u == "" || strings.HasSuffix(u, "/v1") {
		return u
	}
	return u + "/v1"
}

// options decodes options = {} by the kind's declarations, or as they are where the kind
// is open.
func (l *loader) options(b *hclsyntax.Block, kind schema.Kind, w where) schema.Values {
	a, ok := b.Body.Attributes["options"]
	if !ok {
		return schema.Values{}
	}
	w.what = "attribute options"
	v, ok := l.scope.eval(a.Expr, w)
	if !ok {
		return schema.Values{}
	}
	plain, marks := v.Unmark()
	if len(marks) > 0 || plain.IsNull() || !(plain.Type().IsObjectType() || plain.Type().IsMapType()) {
		l.errorf(a.Expr.Range(), "Wrong value", "options must be an object, as in { name = value }.")
		return schema.Values{}
	}
	out := schema.Values{}
	for name, x := range plain.AsValueMap() {
		at := itemRange(a.Expr, name)
		if x.IsNull() {
			continue
		}
		var err error
		near := ""
		if kind.Options == nil {
			out[name], err = plainValue(x)
		} else {
			i := slices.IndexFunc(kind.Options, func(o schema.Attr) bool { return o.Name == name })
			if i < 0 {
				var names []string
				for _, o := range kind.Options {
					names = append(names, o.Name)
				}
				l.errorf(at, "Unknown option", "The options of framework %q have no %q.%s", kind.Name, name, didYouMean(name, names))
				continue
			}
			o := kind.Options[i]
			out[name], err = decode(x, o.Type, func(p string) string { return l.resolve(p, a.SrcRange.Filename) })
			if t, is := out[name].(schema.Text); err == nil && is && len(o.Values) > 0 && !slices.Contains(o.Values, t.Reveal()) {
				err = fmt.Errorf("%q is none of %s", t, strings.Join(o.Values, ", "))
				near = Nearest(t.Reveal(), o.Values)
			}
		}
		if t, is := out[name].(schema.Text); err == nil && is && t.Sensitive() {
			err = fmt.Errorf("it is sensitive, and options are shown in process lists")
		}
		if err != nil {
			l.errorf(at, "Wrong value", "%s: %s.%s", name, err, near)
			delete(out, name)
		}
	}
	return out
}

// itemRange is where an object's item stands.
func itemRange(expr hclsyntax.Expression, key string) hcl.Range {
	if o, ok := expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range o.Items {
			if k := hcl.ExprAsKeyword(item.KeyExpr); k == key {
				return item.KeyExpr.Range()
			}
		}
	}
	return expr.Range()
}

func (l *loader) datasets() {
	t := blockType(topBlocks, "dataset")
	for _, b := range l.blocks["dataset"] {
		kind, ok := l.kind(b, "type", l.Registry.Datasets)
		if !ok || !l.known(b.Body, t, kind.Attrs) {
			continue
		}
		before := len(l.diags)
		v := l.attrs(b.Body, kind.Attrs, where{binding: schema.Load})
		d := plan.Dataset{Address: "dataset." + b.Labels[0], Name: b.Labels[0], Type: kind.Name, Values: v}
		sum := sha256.New()
		for _, a := range kind.Attrs {
			if a.Type != schema.Path && a.Type != schema.PathList {
				continue
			}
			paths := v.Strings(a.Name)
			if a.Type == schema.Path && v.Has(a.Name) {
				paths = []string{v.String(a.Name)}
			}
			for _, p := range paths {
				if err := l.copy(sum, p); err != nil {
					l.errorf(b.Body.Attributes[a.Name].Expr.Range(), "File that can't be read", "%s.", err)
					continue
				}
				d.Digest = hex.EncodeToString(sum.Sum(nil))
			}
		}
		if kind.Files != nil && len(l.diags) == before {
			for _, p := range kind.Files(v, l.open) {
				_ = l.copy(sum, p) // it is read, and missed, where the dataset is checked
				d.Digest = hex.EncodeToString(sum.Sum(nil))
			}
		}
		l.plan.Datasets = append(l.plan.Datasets, d)
		if len(l.diags) == before {
			l.problems(b, kind, v)
		}
	}
}

// copy writes an input file to out, without holding it in memory where Open is there.
func (l *loader) copy(out io.Writer, path string) error {
	f, err := l.open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}

// open opens an input file.
func (l *loader) open(path string) (io.ReadCloser, error) {
	if l.Open != nil {
		return l.Open(path)
	}
	content, err := l.ReadFile(path)
	return io.NopCloser(bytes.NewReader(content)), err
}

// defaultSinks are there where the scenario names none.
var defaultSinks = []string{"console", "excel", "html"}

func (l *loader) sinks() {
	t := blockType(topBlocks, "sink")
	for _, b := range l.blocks["sink"] {
		kind, ok := l.kind(b, "type", l.Registry.Sinks)
		if !ok || !l.known(b.Body, t, kind.Attrs) {
			continue
		}
		before := len(l.diags)
		v := l.attrs(b.Body, kind.Attrs, where{binding: schema.Load})
		l.plan.Sinks = append(l.plan.Sinks, plan.Sink{Address: "sink." + b.Labels[0], Type: kind.Name, Values: v})
		if len(l.diags) == before {
			l.problems(b, kind, v)
		}
	}
	need := []string{"console"}
	if len(l.blocks["sink"]) == 0 {
		need = defaultSinks
	}
	for _, name := range need {
		if slices.ContainsFunc(l.plan.Sinks, func(s plan.Sink) bool { return s.Type == name }) {
			continue
		}
		i := slices.IndexFunc(l.Registry.Sinks, func(k schema.Kind) bool { return k.Name == name })
		if i < 0 {
			continue
		}
		v := schema.Values{}
		for _, a := range l.Registry.Sinks[i].Attrs {
			if a.Default != nil {
				v[a.Name] = a.Default
			}
		}
		l.plan.Sinks = append(l.plan.Sinks, plan.Sink{Address: "sink." + name, Type: name, Values: v})
	}
	// The grid comes last, under what the other sinks have written.
	slices.SortStableFunc(l.plan.Sinks, func(a, b plan.Sink) int {
		return map[bool]int{true: 1}[a.Type == "console"] - map[bool]int{true: 1}[b.Type == "console"]
	})
}
