package addr

import (
	"math"
	"strconv"
)

// Axis is one matrix axis of a cell and the value it has there. Value is the printed
// form without quotes: "16", "vllm", "a b".
type Axis struct {
	Name  string
	Value string
}

// Cell is the address of a benchmark × matrix values × repeat, as in
// benchmark.multi_turn[server=vllm,concurrency=16]#2.
type Cell struct {
	Benchmark string
	Axes      []Axis // in the order of the scenario file
	Repeat    int    // from 1
}

// Instead is the cell with other values on some axes.
func (c Cell) Instead(values map[string]string) Cell {
	axes := make([]Axis, len(c.Axes))
	for i, a := range c.Axes {
		if v, ok := values[a.Name]; ok {
			a.Value = v
		}
		axes[i] = a
	}
	c.Axes = axes
	return c
}

// Server is the address of a server block: server.NAME.
func Server(name string) string { return "server." + name }

// Number is the value of an axis as a number, NaN where it is none.
func (c Cell) Number(axis string) float64 {
	v, _ := c.Value(axis)
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}
