package scenario

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"sparkrun/scenario/addr"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

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
			fits = fits && ok && (got == want || addr.Base(got) == want)
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
