package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

func (l *loader) benchmarks() {
	if len(l.blocks["benchmark"]) == 0 {
		l.errorf(hcl.Range{Filename: l.plan.Files[0], Start: hcl.InitialPos, End: hcl.InitialPos}, "Scenario without a benchmark", "There is nothing to run: add a benchmark block.")
	}
	for _, b := range l.blocks["benchmark"] {
		l.benchmark(b)
	}
}

// maxCells bounds a benchmark: beyond it somebody has mistyped.
const maxCells = 10_000

// cellMaker makes the cells of a benchmark.
type cellMaker struct {
	*loader
	block *hclsyntax.Block
	name  string
	typ   BlockType
	inner map[string]*hclsyntax.Block // conversations, request, record, abort, matrix
	slos  []plan.SLO
	mets  []plan.Metric
	// search is the block of that name, nil for none.
	search  *hclsyntax.Block
	restart string // when servers are started anew
	cells   int64  // that there will be
}

func (l *loader) benchmark(b *hclsyntax.Block) {
	m := &cellMaker{loader: l, block: b, name: b.Labels[0], typ: blockType(topBlocks, "benchmark"), inner: map[string]*hclsyntax.Block{}}
	ok := true
	l.known(b.Body, m.typ, nil)
	seen := map[string]bool{}
	for _, in := range b.Body.Blocks {
		i := slices.IndexFunc(m.typ.Blocks, func(t BlockType) bool { return t.Name == in.Type })
		if i < 0 {
			continue
		}
		t := m.typ.Blocks[i]
		if t.Label != (len(in.Labels) == 1) {
			l.errorf(in.DefRange(), "Wrong number of labels", "Write it as %s.", t.example())
			ok = false
			continue
		}
		if in.Type != "matrix" {
			l.known(in.Body, t, nil)
		}
		key := in.Type + strings.Join(in.Labels, "")
		if seen[key] {
			l.errorf(in.DefRange(), "Block given twice", "benchmark %q has another %s.", m.name, strings.TrimSpace(in.Type+" "+strings.Join(in.Labels, "")))
			ok = false
		}
		seen[key] = true
		if !t.Label {
			m.inner[in.Type] = in
		}
		if in.Type == "search" && m.search != nil {
			l.errorf(in.DefRange(), "Block given twice", "benchmark %q has another search.", m.name)
			ok = false
		} else if in.Type == "search" {
			m.search = in
		}
	}
	var load []schema.Attr
	for _, a := range m.typ.Attrs {
		if a.Binding == schema.Load {
			load = append(load, a)
		}
	}
	v := l.attrs(b.Body, load, where{binding: schema.Load})
	for _, a := range m.typ.Attrs {
		if _, has := b.Body.Attributes[a.Name]; a.Required && !has {
			l.errorf(b.DefRange(), "Attribute missing", "%s", missing(a))
			ok = false
		}
	}
	repeat := v.Int("repeat")
	if a, set := b.Body.Attributes["repeat"]; set && repeat < 1 {
		l.errorf(a.Expr.Range(), "Wrong value", "repeat must be at least 1.")
		ok = false
	}
	m.columns()
	points, fine := m.matrix(m.inner["matrix"])
	points = m.withVariants(points)
	if !ok || !fine {
		return
	}
	if repeat*int64(len(points)) > maxCells {
		l.errorf(b.DefRange(), "Too many cells", "%d combinations %d times are more than %d cells.", len(points), repeat, maxCells)
		return
	}
	l.plan.Benchmarks = append(l.plan.Benchmarks, plan.Benchmark{Name: m.name, Order: v.String("order"), Seed: uint64(v.Int("seed")), Restart: v.String("restart"), SkipAbove: m.skipAbove()})
	m.restart, m.cells = v.String("restart"), repeat*int64(len(points))
	seenCells := map[string]bool{}
	for r := int64(1); r <= repeat; r++ {
		for _, p := range points {
			c := m.cell(p, int(r))
			if key := c.Address.Canonical(); seenCells[key] {
				l.errorf(m.block.DefRange(), "Combination given twice", "The matrix has %s twice.", c.Address)
				return
			} else {
				seenCells[key] = true
			}
			l.plan.Cells = append(l.plan.Cells, c)
		}
	}
}

// checkRestart refuses to restart what sparkrun has not started.
func (m *cellMaker) checkRestart(server string) {
	i := slices.IndexFunc(m.plan.Servers, func(s plan.Server) bool { return s.Address == server })
	if a, set := m.block.Body.Attributes["restart"]; set && m.restart != "never" && i >= 0 && m.plan.Servers[i].URL != "" {
		m.errorf(a.Expr.Range(), "Server that can't be started anew", "%s has a url: sparkrun has not started it, so restart must be never.", server)
	}
}

// cell makes one cell. A mistake in it is reported and leaves it incomplete.
func (m *cellMaker) cell(p point, repeat int) plan.Cell {
	w := where{matrix: p.values, binding: schema.Cell, benchmark: m.name}
	c := plan.Cell{Address: addr.Cell{Benchmark: m.name, Repeat: repeat}, SLOs: m.slos, Metrics: m.mets}
	c.Address.Axes = p.axes()
	body := m.block.Body
	c.Server = m.reference(body.Attributes["server"], "server", w)
	if p.variant != "" {
		c.Server = addr.Server(p.variant)
	}
	c.Dataset = m.reference(body.Attributes["dataset"], "dataset", w)
	c.Restart = m.restart
	m.checkRestart(c.Server)
	var own []schema.Attr
	for _, a := range m.typ.Attrs {
		if a.Name == "api" || a.Name == "stream" || a.Name == "cache" {
			own = append(own, a)
		}
	}
	v := m.attrs(body, own, w)
	c.API, c.Stream, c.Cache = v.String("api"), v.Bool("stream"), v.String("cache")
	_, c.CacheAsked = body.Attributes["cache"]
	if m.search == nil {
		c.Phases = m.phases(w)
	} else if c.Search = m.searchOf(w); c.Search != nil {
		c.Phases = c.Search.Rungs[0].Phases
	}
	m.checkReplay(&c)

	conv := m.sub("conversations", conversationsAttrs, w)
	c.Conversations = plan.Conversations{
		Active: conv.Int("active"), Sampling: conv.String("sampling"), MaxTurns: conv.Int("max_turns"), Answers: conv.String("answers"),
		Start: conv.String("start"), KeepReasoning: conv.Bool("keep_reasoning"), Verify: conv.Bool("verify"),
	}
	if c.Conversations.Start == "" {
		c.Conversations.Start = start(c.Phases)
	}
	if b, ok := m.inner["conversations"]; ok && conv.Has("active") {
		for _, ph := range c.Phases {
			if ph.Concurrency != nil && float64(c.Conversations.Active) < max(ph.Concurrency.From, ph.Concurrency.To) {
				m.errorf(b.Body.Attributes["active"].Expr.Range(), "Wrong value", "active is %d, below the concurrency %v of phase %q: requests would have no conversation to go on with.", c.Conversations.Active, max(ph.Concurrency.From, ph.Concurrency.To), ph.Name)
			}
		}
	}
	c.Request = m.request(w, c.Server)
	m.checkCache(&c)
	rec := m.sub("record", recordAttrs, w)
	c.Record = plan.Record{Events: rec.Bool("events"), Content: rec.Bool("content") || m.contentWanted()}
	c.Telemetry = m.telemetry(w)
	if _, ok := m.inner["abort"]; ok {
		a := m.sub("abort", abortAttrs, w)
		c.Abort = &plan.Abort{ErrorRate: a.Float("error_rate"), OfLast: a.Int("of_last")}
	}
	return c
}

// leastInterval is the shortest time between samples: what asks more often is measured along.
const leastInterval = 100 * time.Millisecond

// telemetry is what is sampled, nil for nothing.
func (m *cellMaker) telemetry(w where) *plan.Telemetry {
	v := m.sub("telemetry", telemetryAttrs, w)
	t := &plan.Telemetry{Interval: v.Duration("interval"), Sources: v.Strings("sources")}
	all := []string{plan.SourceGPU, plan.SourceNode, plan.SourceServer}
	for _, s := range t.Sources {
		if !slices.Contains(all, s) {
			m.errorf(m.inner["telemetry"].Body.Attributes["sources"].Expr.Range(), "Wrong value", "There is no source %q.%s", s, didYouMean(s, all))
		}
	}
	if t.Interval < leastInterval {
		if a, set := m.inner["telemetry"].Body.Attributes["interval"]; set {
			m.errorf(a.Expr.Range(), "Wrong value", "interval is %s: it must be at least %s.", t.Interval, leastInterval)
		}
	}
	if !v.Bool("enabled") || len(t.Sources) == 0 {
		return nil
	}
	return t
}

// checkReplay reports a phase that replays a dataset without times.
func (m *cellMaker) checkReplay(c *plan.Cell) {
	replays := slices.ContainsFunc(c.Phases, func(p plan.Phase) bool { return p.Replay })
	for i := range m.plan.Datasets {
		d := &m.plan.Datasets[i]
		timed := slices.ContainsFunc(m.Registry.Datasets, func(k schema.Kind) bool { return k.Name == d.Type && k.Timed })
		if replays && d.Address == c.Dataset && !timed {
			m.errorf(m.block.Body.Attributes["dataset"].Expr.Range(), "Dataset without times", "%s is of type %q, whose conversations have no times that a phase could replay: use a trace, or concurrency or rate instead of replay.", d.Address, d.Type)
		}
	}
}

// contentWanted reports whether a sink needs the texts.
func (m *cellMaker) contentWanted() bool {
	return slices.ContainsFunc(m.plan.Sinks, func(s plan.Sink) bool {
		return slices.ContainsFunc(m.Registry.Sinks, func(k schema.Kind) bool { return k.Name == s.Type && k.Content })
	})
}

// start is where conversations begin if the scenario does not say: in the midst where a
// stretch of time is measured, which is to show the steady state.
func start(phases []plan.Phase) string {
	for i := range phases {
		if phases[i].Measure && phases[i].Duration > 0 {
			return "staggered"
		}
	}
	return "first_turn"
}

// sub decodes a block inside the benchmark, or its defaults where it is not there.
func (m *cellMaker) sub(name string, attrs []schema.Attr, w where) schema.Values {
	if b, ok := m.inner[name]; ok {
		return m.attrs(b.Body, attrs, w)
	}
	v := schema.Values{}
	for _, a := range attrs {
		if a.Default != nil {
			v[a.Name] = a.Default
		}
	}
	return v
}

// reference evaluates an attribute that names a block and returns its address.
func (m *cellMaker) reference(a *hclsyntax.Attribute, block string, w where) string {
	w.what = "attribute " + block
	v, ok := m.scope.eval(a.Expr, w)
	if !ok {
		return ""
	}
	name, ok := address(v, block)
	if !ok {
		m.errorf(a.Expr.Range(), "Wrong reference", "%s must name a %s block, as in %s.NAME; it is %s.", block, block, block, kindOfValue(v))
		return ""
	}
	return block + "." + name
}

func (m *cellMaker) request(w where, server string) plan.Request {
	v := m.sub("request", requestAttrs, w)
	r := plan.Request{Timeout: v.Duration("timeout"), IdleTimeout: v.Duration("idle_timeout"), Retries: v.Int("retries"), Stop: v.Strings("stop"), Output: v.String("output"), MaxField: v.String("max_tokens_field"), NoSpares: !v.Bool("spare_connections")}
	if v.Has("temperature") {
		f := v.Float("temperature")
		r.Temperature = &f
	}
	for name, into := range map[string]**int64{"seed": &r.Seed, "min_tokens": &r.MinTokens, "max_tokens": &r.MaxTokens} {
		if v.Has(name) {
			n := v.Int(name)
			*into = &n
		}
	}
	if r.MinTokens != nil && r.MaxTokens != nil && *r.MinTokens > *r.MaxTokens {
		m.errorf(m.inner["request"].Body.Attributes["min_tokens"].Expr.Range(), "Wrong value", "min_tokens is %d, above max_tokens (%d).", *r.MinTokens, *r.MaxTokens)
	}
	r.Headers, _ = v["headers"].(map[string]schema.Text)
	if body, ok := v["body"].(map[string]any); ok {
		plain, err := withoutText(body)
		if err != nil {
			m.errorf(m.inner["request"].Body.Attributes["body"].Expr.Range(), "Wrong value", "body: %s.", err)
		} else {
			r.Body = plain.(map[string]any)
		}
	}
	if r.Output == "" {
		r.Output = "forced"
		for i := range m.plan.Servers {
			if s := &m.plan.Servers[i]; s.Address == server && s.URL != "" {
				r.Output = "natural"
			}
		}
	}
	return r
}

// phases are those named by the attribute, then the blocks inside.
func (m *cellMaker) phases(w where) []plan.Phase {
	var blocks []*hclsyntax.Block
	if a, ok := m.block.Body.Attributes["phases"]; ok {
		here := w
		here.what = "attribute phases"
		v, ok := m.scope.eval(a.Expr, here)
		if !ok {
			return nil
		}
		good := v.CanIterateElements() && !v.Type().IsObjectType()
		if good {
			for it := v.ElementIterator(); it.Next(); {
				_, x := it.Element()
				name, is := address(x, "phase")
				if !is {
					good = false
					break
				}
				for _, b := range m.loader.blocks["phase"] {
					if b.Labels[0] == name {
						blocks = append(blocks, b)
					}
				}
			}
		}
		if !good {
			m.errorf(a.Expr.Range(), "Wrong value", "phases must be a list of phases, as in [phase.warmup, phase.steady].")
			return nil
		}
	}
	for _, b := range m.block.Body.Blocks {
		if b.Type == "phase" {
			blocks = append(blocks, b)
		}
	}
	if len(blocks) == 0 {
		m.errorf(m.block.DefRange(), "Benchmark without phases", "Add a phase block, or phases = [phase.NAME].")
	}
	var out []plan.Phase
	measured := false
	for _, b := range blocks {
		ph := m.phase(b, w)
		measured = measured || ph.Measure
		out = append(out, ph)
	}
	if len(out) > 0 && !measured {
		m.errorf(m.block.DefRange(), "Nothing is measured", "No phase of benchmark %q has measure = true, which is the default for all but warmup, ramp and cooldown.", m.name)
	}
	return out
}

// choose applies --only and --skip.
func (l *loader) choose() {
	read := func(flag string, texts []string) []addr.Selector {
		var out []addr.Selector
		for _, t := range texts {
			s, err := addr.ParseSelector(t)
			if err != nil {
				l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Wrong selection", Detail: fmt.Sprintf("%s %s. The first cell is %s.", flag, err, l.plan.Cells[0].Address)})
				continue
			}
			any := slices.ContainsFunc(l.plan.Cells, func(c plan.Cell) bool { return s.Match(c.Address) })
			if !any {
				l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Selection of nothing", Detail: fmt.Sprintf("%s %s matches no cell. The first cell is %s.", flag, t, l.plan.Cells[0].Address)})
			}
			out = append(out, s)
		}
		return out
	}
	only, skip := read("--only", l.Only), read("--skip", l.Skip)
	match := func(list []addr.Selector, c *plan.Cell) bool {
		return slices.ContainsFunc(list, func(s addr.Selector) bool { return s.Match(c.Address) })
	}
	l.plan.Cells = slices.DeleteFunc(l.plan.Cells, func(c plan.Cell) bool {
		return (len(only) > 0 && !match(only, &c)) || match(skip, &c)
	})
	if len(l.plan.Cells) == 0 && !l.diags.HasErrors() {
		l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Selection of nothing", Detail: "--only and --skip together leave no cell."})
	}
	// What no chosen cell needs is neither started nor checked.
	used := map[string]bool{}
	for i := range l.plan.Cells {
		used[l.plan.Cells[i].Server], used[l.plan.Cells[i].Dataset] = true, true
	}
	l.plan.Servers = slices.DeleteFunc(l.plan.Servers, func(s plan.Server) bool { return !used[s.Address] })
	l.plan.Datasets = slices.DeleteFunc(l.plan.Datasets, func(d plan.Dataset) bool { return !used[d.Address] })
}
