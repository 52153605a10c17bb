package metric

import (
	"math"
	"slices"
	"testing"
)

// Each program is written in reverse Polish; the rows cover null in every place.
func TestEval(t *testing.T) {
	null := math.NaN()
	cols := []string{"a", "b"}
	rows := [][]float64{{1, 10, null, 4}, {2, 0, 3, null}}
	col := func(i int) Instr { return Instr{Col, i} }
	for name, test := range map[string]struct {
		code []Instr
		want []float64
	}{
		"a + b":                      {[]Instr{col(0), col(1), {Op: Add}}, []float64{3, 10, null, null}},
		"a / b, nothing below":       {[]Instr{col(0), col(1), {Op: Div}}, []float64{0.5, null, null, null}},
		"-a - b":                     {[]Instr{col(0), {Op: Neg}, col(1), {Op: Sub}}, []float64{-3, -10, null, null}},
		"a < b, a metric's":          {[]Instr{col(0), col(1), {Lt, NullIsFalse}}, []float64{1, 0, 0, 0}},
		"a < b, absent is met":       {[]Instr{col(0), col(1), {Lt, NullIsTrue}}, []float64{1, 0, 1, 1}},
		"a < b, a threshold's":       {[]Instr{col(0), col(1), {Lt, NullIsUnknown}}, []float64{1, 0, null, null}},
		"false && unknown":           {[]Instr{col(1), {Op: Const}, {Lt, NullIsUnknown}, col(0), {Op: Const}, {Lt, NullIsUnknown}, {Op: And}}, []float64{0, 0, 0, 0}},
		"true || unknown":            {[]Instr{col(1), {Op: Const}, {Ge, NullIsUnknown}, col(0), {Op: Const}, {Lt, NullIsUnknown}, {Op: Or}}, []float64{1, 1, 1, null}},
		"!(a < b)":                   {[]Instr{col(0), col(1), {Lt, NullIsUnknown}, {Op: Not}}, []float64{0, 1, null, null}},
		"a < b ? a : b":              {[]Instr{col(0), col(1), {Lt, NullIsFalse}, col(0), col(1), {Op: Select}}, []float64{1, 0, 3, null}},
		"min(a, max(b, 0))":          {[]Instr{col(0), col(1), {Op: Const}, {Op: Max}, {Op: Min}}, []float64{1, 0, null, null}},
		"pow(a, b), floor, ceil, %":  {[]Instr{col(0), col(1), {Op: Pow}, {Op: Floor}, {Op: Ceil}, {Op: Const, Arg: 1}, {Op: Mod}}, []float64{1, 1, null, null}},
		"abs(0 - b) == b, b != null": {[]Instr{{Op: Const}, col(1), {Op: Sub}, {Op: Abs}, col(1), {Op: Eq}}, []float64{1, 1, 1, 0}},
	} {
		p := &Program{Columns: cols, Code: test.code, Consts: []float64{0, 7}, Depth: 4}
		got := p.Eval(rows, 4)
		for i := range got {
			if got[i] != test.want[i] && !(math.IsNaN(got[i]) && math.IsNaN(test.want[i])) {
				t.Errorf("%s: row %d is %v, want %v", name, i, got[i], test.want[i])
			}
			if one := p.Scalar([]float64{rows[0][i], rows[1][i]}); one != got[i] && !math.IsNaN(one) {
				t.Errorf("%s: row %d alone is %v, in the column %v", name, i, one, got[i])
			}
		}
	}
}

func TestRegistry(t *testing.T) {
	for _, n := range slices.Concat(Request(), Throughput(), Counts(), Window()) {
		if n.Doc == "" || (n.Unit == "") != n.Text {
			t.Errorf("%s lacks a unit or a sentence: %+v", n.Name, n)
		}
	}
	for short, full := range map[string]string{
		"ttft_ms.p99": "metrics.ttft_ms.p99", "output_tokens_per_s": "throughput.output_tokens_per_s",
		"requests.success_rate": "requests.success_rate", "mine.mean": "metrics.mine.mean", "goodput.all.requests_per_s": "goodput.all.requests_per_s",
	} {
		if got := FullPath(short); got != full {
			t.Errorf("FullPath(%q) = %q, want %q", short, got, full)
		}
	}
}

// TestEvalInBlocks: a column longer than a block gives what its rows give one by one.
func TestEvalInBlocks(t *testing.T) {
	p := ratio()
	n := 2*block + 17
	cols := rows(n)
	got := p.Eval(cols, n)
	for _, i := range []int{0, block - 1, block, 2*block - 1, 2 * block, n - 1} {
		if want := p.Scalar([]float64{cols[0][i], cols[1][i]}); got[i] != want {
			t.Errorf("row %d is %v in the column, %v alone", i, got[i], want)
		}
	}
}

// ratio is a / max(b, 1) * 1000.
func ratio() *Program {
	return &Program{Columns: []string{"a", "b"}, Consts: []float64{1, 1000}, Depth: 3, Code: []Instr{
		{Op: Col}, {Op: Col, Arg: 1}, {Op: Const}, {Op: Max}, {Op: Div}, {Op: Const, Arg: 1}, {Op: Mul},
	}}
}

func rows(n int) [][]float64 {
	cols := [][]float64{make([]float64, n), make([]float64, n)}
	for i := range n {
		cols[0][i], cols[1][i] = float64(i%997), float64(i%131)
	}
	return cols
}

// BenchmarkEval is a metric and an slo over a million rows; ns/row is what one row costs.
func BenchmarkEval(b *testing.B) {
	const n = 1_000_000
	cols := rows(n)
	slo := &Program{Columns: []string{"a", "b"}, Consts: []float64{500, 50}, Depth: 3, Bool: true, Code: []Instr{
		{Op: Col}, {Op: Const}, {Op: Le, Arg: NullIsFalse}, {Op: Col, Arg: 1}, {Op: Const, Arg: 1}, {Op: Le, Arg: NullIsTrue}, {Op: And},
	}}
	for name, p := range map[string]*Program{"metric": ratio(), "slo": slo} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Eval(cols, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
