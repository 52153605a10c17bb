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

// Eval runs the program over n rows: cols are the Columns in their order, each of n
// values. The result has n values; a condition's are 1, 0, or NaN for undecided.
func (p *Program) Eval(cols [][]float64, n int) []float64 {
	stack := make([][]float64, 0, p.Depth)
	pop := func() []float64 {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		return top
	}
	for _, in := range p.Code {
		out := make([]float64, n)
		switch {
		case in.Op == Const:
			for i := range out {
				out[i] = p.Consts[in.Arg]
			}
		case in.Op == Col:
			copy(out, cols[in.Arg])
		case in.Op <= Ceil:
			x := pop()
			for i := range out {
				out[i] = unary(in.Op, x[i])
			}
		case in.Op == Select:
			no, yes, cond := pop(), pop(), pop()
			for i := range out {
				switch {
				case math.IsNaN(cond[i]):
					out[i] = math.NaN()
				case cond[i] != 0:
					out[i] = yes[i]
				default:
					out[i] = no[i]
				}
			}
		default:
			y, x := pop(), pop()
			for i := range out {
				out[i] = binary(in, x[i], y[i])
			}
		}
		stack = append(stack, out)
	}
	return pop()
}

// Scalar runs the program on one row.
func (p *Program) Scalar(values []float64) float64 {
	cols := make([][]float64, len(values))
	for i := range values {
		cols[i] = values[i : i+1]
	}
	return p.Eval(cols, 1)[0]
}

func unary(op Op, x float64) float64 {
	switch op {
	case Neg:
		return -x
	case Not:
		return 1 - x // NaN stays NaN
	case Abs:
		return math.Abs(x)
	case Floor:
		return math.Floor(x)
	case Ceil:
		return math.Ceil(x)
	}
	panic(fmt.Sprintf("metric: operation %d has not one operand", op))
}

func binary(in Instr, x, y float64) float64 {
	switch in.Op {
	case Add:
		return x + y
	case Sub:
		return x - y
	case Mul:
		return x * y
	case Div:
		if y == 0 {
			return math.NaN() // a ratio to nothing is undefined, not infinite
		}
		return x / y
	case Mod:
		return math.Mod(x, y)
	case Pow:
		return math.Pow(x, y)
	case Min:
		return math.Min(x, y)
	case Max:
		return math.Max(x, y)
	case And:
		if x == 0 || y == 0 {
			return 0
		}
		return x * y // 1, or NaN
	case Or:
		if x == 1 || y == 1 {
			return 1
		}
		return x + y // 0, or NaN
	}
	if math.IsNaN(x) || math.IsNaN(y) {
		switch in.Arg {
		case NullIsTrue:
			return 1
		case NullIsUnknown:
			return math.NaN()
		}
		return 0
	}
	return compare(in.Op, x, y)
}

func compare(op Op, x, y float64) float64 {
	var is bool
	switch op {
	case Lt:
		is = x < y
	case Le:
		is = x <= y
	case Gt:
		is = x > y
	case Ge:
		is = x >= y
	case Eq:
		is = x == y
	case Ne:
		is = x != y
	default:
		panic(fmt.Sprintf("metric: operation %d has not two operands", op))
	}
	if is {
		return 1
	}
	return 0
}
