package scenario

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/addr"
)

// addressOf is a server with values on its own axes: the name that addresses have.
func (p *point) addressOf(server string) string {
	var axes []addr.Axis
	for _, n := range p.names {
		s, _ := axisValue(p.values[n])
		axes = append(axes, addr.Axis{Name: n, Value: s})
	}
	return addr.Variant(server, axes)
}

// matrixOf is the matrix block inside another, nil where there is none.
func (l *loader) matrixOf(body *hclsyntax.Body) *hclsyntax.Block {
	var found *hclsyntax.Block
	for _, b := range body.Blocks {
		switch {
		case b.Type != "matrix":
		case found != nil:
			l.errorf(b.DefRange(), "Block used twice", "A server has one matrix block.")
		default:
			found = b
		}
	}
	return found
}

// withVariants makes a combination for each variant of its server. The axis that names
// the server shows the variant; a benchmark whose axes do not name it gets an axis server.
func (m *cellMaker) withVariants(points []point) []point {
	a, ok := m.block.Body.Attributes["server"]
	if !ok || len(m.variants) == 0 {
		return points
	}
	var out []point
	for len(points) > 0 {
		// As values of the axis would, variants come one after the other, each with all
		// combinations that follow each other with this server.
		name := m.serverOf(a, points[0])
		n := 1
		for n < len(points) && m.serverOf(a, points[n]) == name {
			n++
		}
		variants := m.variants[name]
		if variants == nil {
			out = append(out, points[:n]...)
		}
		for _, variant := range variants {
			for _, p := range points[:n] {
				out = append(out, p.as(variant, name))
			}
		}
		points = points[n:]
	}
	return out
}

// serverOf is the name of a combination's server, "" where something is wrong with it: that
// is said where the cell is made.
func (m *cellMaker) serverOf(a *hclsyntax.Attribute, p point) string {
	v, ok := m.scope.eval(a.Expr, where{what: "attribute server", matrix: p.values, benchmark: m.name})
	if !ok {
		return ""
	}
	name, _ := address(v, "server")
	return name
}

// as is the combination with a variant of its server.
func (p point) as(variant, server string) point {
	q := p.clone()
	q.variant, q.variantOf = variant, "server"
	for _, n := range p.names {
		if other, is := address(p.values[n], "server"); is && other == server {
			q.variantOf = n
		}
	}
	return q
}

// axes are a combination's as its address has them.
func (p *point) axes() []addr.Axis {
	var axes []addr.Axis
	if p.variant != "" && !slices.Contains(p.names, p.variantOf) {
		axes = append(axes, addr.Axis{Name: p.variantOf, Value: p.variant})
	}
	for _, n := range p.names {
		s, _ := axisValue(p.values[n])
		if p.variant != "" && n == p.variantOf {
			s = p.variant
		}
		axes = append(axes, addr.Axis{Name: n, Value: s})
	}
	return axes
}
