package metric

import (
	"fmt"
	"math"
)

// Program is a compiled expression over float64 columns. It is plain data: it travels in
// the plan as JSON. Booleans are 1 and 0; null is NaN.
type Program struct {
	Columns []string  `json:"columns"` // what the expression reads, in slot order
	Code    []Instr   `json:"code"`
	Consts  []float64 `json:"consts"`
	Depth   int       `json:"depth"` // greatest stack depth
	Bool    bool      `json:"bool"`  // the result is a condition
}

// Instr is one instruction: an operation and its operand. The operand of Col and Const
// is an index; that of a comparison is what it gives where a side is null.
type Instr struct {
	Op  Op  `json:"op"`
	Arg int `json:"arg,omitempty"`
}

// Op is an operation of the machine. It works on a stack of columns: operands are
// popped, the right one first, and the result is pushed.
type Op uint8

// The operations.
const (
	Const Op = iota // push Consts[Arg]
	Col             // push column Arg
	Neg
	Not
	Abs
	Floor
	Ceil
	Add
	Sub
	Mul
	Div
	Mod
	Pow
	Min
	Max
	Lt
	Le
	Gt
	Ge
	Eq
	Ne
	And    // Kleene's: false && null is false
	Or     // true || null is true
	Select // condition, then, else
)

// What a comparison gives where one of its sides is null (Instr.Arg).
const (
	NullIsFalse   = 0 // a metric: left out
	NullIsTrue    = 1 // an slo on an absent TPOT: met
	NullIsUnknown = 2 // a threshold: undecided
)

// block is how many rows go through the whole program at a time: a stack of such columns
// stays in the processor's nearest cache.
const block = 1024

// Eval runs the program over n rows: cols are the Columns in their order, each of n
// values. The result has n values; a condition's are 1, 0, or NaN for undecided.
func (p *Program) Eval(cols [][]float64, n int) []float64 {
	var (
		out     = make([]float64, n)
		size    = min(n, block)
		results = make([]float64, p.Depth*size) // of the operations, a place for each depth of the stack
		consts  = make([]float64, len(p.Consts)*size)
		stack   = make([][]float64, p.Depth)
	)
	for i, v := range p.Consts {
		fill(consts[i*size:(i+1)*size], v)
	}
	for from := 0; from < n; from += size {
		rows := min(size, n-from)
		top := 0 // of the stack: how many columns are on it
		for _, in := range p.Code {
			pops := in.Op.operands()
			at := top - pops
			result := results[at*size:][:rows]
			switch args := stack[at:top]; {
			case in.Op == Const:
				result = consts[in.Arg*size:][:rows]
			case in.Op == Col:
				result = cols[in.Arg][from:][:rows]
			case pops == 1:
				unary(in.Op, result, args[0])
			case pops == 2:
				binary(in, result, args[0], args[1])
			default:
				choose(result, args[0], args[1], args[2])
			}
			stack[at] = result
			top = at + 1
		}
		copy(out[from:], stack[0])
	}
	return out
}

func fill(column []float64, v float64) {
	for i := range column {
		column[i] = v
	}
}

// operands is how many columns an operation pops.
func (op Op) operands() int {
	switch {
	case op == Const || op == Col:
		return 0
	case op <= Ceil:
		return 1
	case op == Select:
		return 3
	}
	return 2
}

// Scalar runs the program on one row.
func (p *Program) Scalar(values []float64) float64 {
	cols := make([][]float64, len(values))
	for i := range values {
		cols[i] = values[i : i+1]
	}
	return p.Eval(cols, 1)[0]
}

// The operations below read and write columns of one length; out may be one of those that
// they read. The loop is inside the choice of operation, as it runs for every row.

func unary(op Op, out, x []float64) {
	x = x[:len(out)]
	switch op {
	case Neg:
		for i := range out {
			out[i] = -x[i]
		}
	case Not:
		for i := range out {
			out[i] = 1 - x[i] // NaN stays NaN
		}
	case Abs:
		for i := range out {
			out[i] = math.Abs(x[i])
		}
	case Floor:
		for i := range out {
			out[i] = math.Floor(x[i])
		}
	case Ceil:
		for i := range out {
			out[i] = math.Ceil(x[i])
		}
	default:
		panic(fmt.Sprintf("metric: operation %d has not one operand", op))
	}
}

func binary(in Instr, out, x, y []float64) {
	x, y = x[:len(out)], y[:len(out)]
	switch in.Op {
	case Add:
		for i := range out {
			out[i] = x[i] + y[i]
		}
	case Sub:
		for i := range out {
			out[i] = x[i] - y[i]
		}
	case Mul:
		for i := range out {
			out[i] = x[i] * y[i]
		}
	case Div:
		for i := range out {
			out[i] = divide(x[i], y[i])
		}
	case Mod:
		for i := range out {
			out[i] = math.Mod(x[i], y[i])
		}
	case Pow:
		for i := range out {
			out[i] = math.Pow(x[i], y[i])
		}
	case Min:
		for i := range out {
			out[i] = min(x[i], y[i]) // NaN where one is
		}
	case Max:
		for i := range out {
			out[i] = max(x[i], y[i])
		}
	case And:
		for i := range out {
			out[i] = and(x[i], y[i])
		}
	case Or:
		for i := range out {
			out[i] = or(x[i], y[i])
		}
	default:
		compare(in, out, x, y)
	}
}

// compare is binary for comparisons. One with NaN is false, but for !=.
func compare(in Instr, out, x, y []float64) {
	null := onNull(in.Arg)
	switch in.Op {
	case Lt:
		for i := range out {
			out[i] = truth(x[i] < y[i], x[i], y[i], null)
		}
	case Le:
		for i := range out {
			out[i] = truth(x[i] <= y[i], x[i], y[i], null)
		}
	case Gt:
		for i := range out {
			out[i] = truth(x[i] > y[i], x[i], y[i], null)
		}
	case Ge:
		for i := range out {
			out[i] = truth(x[i] >= y[i], x[i], y[i], null)
		}
	case Eq:
		for i := range out {
			out[i] = truth(x[i] == y[i], x[i], y[i], null)
		}
	case Ne:
		for i := range out {
			out[i] = truth(x[i] < y[i] || x[i] > y[i], x[i], y[i], null)
		}
	default:
		panic(fmt.Sprintf("metric: operation %d has not two operands", in.Op))
	}
}

// truth is 1 or 0 for a comparison of x and y, null where one of them is NaN.
func truth(is bool, x, y, null float64) float64 {
	switch {
	case is:
		return 1
	case x != x || y != y:
		return null
	}
	return 0
}

// choose is Select: condition ? yes : no.
func choose(out, condition, yes, no []float64) {
	for i := range out {
		switch c := condition[i]; {
		case c != c:
			out[i] = math.NaN()
		case c != 0:
			out[i] = yes[i]
		default:
			out[i] = no[i]
		}
	}
}

func divide(x, y float64) float64 {
	if y == 0 {
		return math.NaN() // a ratio to nothing is undefined, not infinite
	}
	return x / y
}

func and(x, y float64) float64 {
	if x == 0 || y == 0 {
		return 0
	}
	return x * y // 1, or NaN
}

func or(x, y float64) float64 {
	if x == 1 || y == 1 {
		return 1
	}
	return x + y // 0, or NaN
}

// onNull is what a comparison gives where one of its sides is null.
func onNull(arg int) float64 {
	switch arg {
	case NullIsTrue:
		return 1
	case NullIsUnknown:
		return math.NaN()
	}
	return 0
}
