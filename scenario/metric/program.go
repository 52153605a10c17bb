// Package metric is the columnar machine that evaluates a scenario's metric, slo and
// threshold expressions, and the registry of every number's name, unit and definition.
// scenario/expr compiles to it; runner/result runs it without knowing HCL. A leaf:
// standard library only.
package metric

// Program is a compiled expression over float64 columns. It is plain data: it travels in
// the plan as JSON. Booleans are 1 and 0; null is NaN.
type Program struct {
	Columns []string  `json:"columns"` // what the expression reads, in slot order
	Code    []Instr   `json:"code"`
	Consts  []float64 `json:"consts"`
	Depth   int       `json:"depth"` // greatest stack depth
	Bool    bool      `json:"bool"`  // the result is a condition
}

// Instr is one instruction: an operation and its operand (a column or constant index).
type Instr struct {
	Op  Op  `json:"op"`
	Arg int `json:"arg,omitempty"`
}

// Op is an operation of the machine.
type Op uint8
