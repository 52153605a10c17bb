package result

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"

	"sparkrun/scenario/metric"
)

// Side is a run that is compared.
type Side struct {
	Name    string
	Entries []Entry
}

// RunComparison is two runs, cell by cell.
type RunComparison struct {
	Base     string       `json:"base"`
	New      string       `json:"new"`
	Cells    []Comparison `json:"cells"`
	OnlyBase []string     `json:"only_base"` // cells, without the repeat, that one side has not
	OnlyNew  []string     `json:"only_new"`
	Unlike   []string     `json:"unlike"` // cells of both that had another workload
}

// CompareRuns compares the cells that two runs have in common: the same benchmark, axis
// values and phase.
func CompareRuns(base, other Side) *RunComparison {
	c := &RunComparison{Base: base.Name, New: other.Name, Cells: []Comparison{}, OnlyBase: []string{}, OnlyNew: []string{}, Unlike: []string{}}
	others := groups(other.Entries)
	for _, b := range groups(base.Entries) {
		i := slices.IndexFunc(others, func(o []*Entry) bool { return sameCell(b[0], o[0]) })
		if i < 0 {
			c.OnlyBase = append(c.OnlyBase, cellPhase(b[0]))
			continue
		}
		o := others[i]
		others = slices.Delete(others, i, i+1)
		if b[0].Workload != o[0].Workload {
			c.Unlike = append(c.Unlike, cellPhase(b[0]))
		}
		x := Comparison{Benchmark: b[0].Benchmark, Matrix: o[0].Matrix, Axes: o[0].Axes, Phase: b[0].Phase, Base: base.Name, Other: other.Name}
		x.Numbers, x.Repeats, x.Note = Differences(b, o)
		c.Cells = append(c.Cells, x)
	}
	for _, o := range others {
		c.OnlyNew = append(c.OnlyNew, cellPhase(o[0]))
	}
	return c
}

func sameCell(a, b *Entry) bool {
	if a.Benchmark != b.Benchmark || a.Phase != b.Phase || len(a.Matrix) != len(b.Matrix) {
		return false
	}
	for axis, v := range a.Matrix {
		if w, ok := b.Matrix[axis]; !ok || v != w {
			return false
		}
	}
	return true
}

func cellPhase(e *Entry) string { return WithoutRepeat(e.Address) + " " + e.Phase }

// Gate is a condition on the change of a number from one run to another: --fail-if.
type Gate struct {
	Source   string
	Path     string // of metric.ResultPaths
	Above    bool   // holds above the limit, else below it
	Limit    float64
	Relative bool // the limit is a share of the base's value
}

var gate = regexp.MustCompile(`^\s*([A-Za-z_][\w.]*)\s*([<>])\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*(%?)\s*$`)

// ParseGate reads "ttft_ms.p50>+5%" or "requests.success_rate<-0.01": a number, whether it
// has risen or fallen, and by how much.
func ParseGate(s string, known []string) (*Gate, error) {
	m := gate.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("%q: write it as NUMBER>+5%% or NUMBER<-5%%, as in ttft_ms.p50>+5%%", s)
	}
	g := &Gate{Source: s, Path: metric.FullPath(m[1]), Above: m[2] == ">", Relative: m[4] == "%"}
	if !slices.Contains(known, g.Path) {
		return nil, fmt.Errorf("%q: there is no number %s in both runs; see: sparkrun help metrics", s, m[1])
	}
	g.Limit, _ = strconv.ParseFloat(m[3], 64) // the pattern is a number's
	if g.Relative {
		g.Limit /= 100
	}
	if g.Above != (g.Limit >= 0) && g.Limit != 0 {
		return nil, fmt.Errorf("%q holds also where nothing has changed: > takes a rise, < a fall with its sign, as in output_tokens_per_s<-5%%", s)
	}
	return g, nil
}

// GateResult is a gate on one cell.
type GateResult struct {
	Gate   string   `json:"gate"`
	Cell   string   `json:"cell"`
	Fails  bool     `json:"fails"`
	Base   *float64 `json:"base"`
	New    *float64 `json:"new"`
	Change *float64 `json:"change"` // a share where the limit is one, else a difference
	P      *float64 `json:"p"`      // Mann-Whitney on this number alone; null where not tested
	Why    string   `json:"why"`
}

// Gates judges gates on the cells that two runs have in common. One fails where the change
// of the medians is past its limit, and where there are four usable repeats a side, only if
// it is more than noise as well. A change that can't be computed fails it.
func Gates(gates []*Gate, base, other Side) []GateResult {
	out := []GateResult{}
	others := groups(other.Entries)
	for _, b := range groups(base.Entries) {
		for _, o := range others {
			if !sameCell(b[0], o[0]) {
				continue
			}
			for _, g := range gates {
				out = append(out, g.judge(usable(b), usable(o), cellPhase(b[0])))
			}
		}
	}
	return out
}

func (g *Gate) judge(base, other []*Entry, cell string) GateResult {
	r := GateResult{Gate: g.Source, Cell: cell}
	b, o := valuesOf(base, g.Path), valuesOf(other, g.Path)
	if len(b) == 0 || len(o) == 0 {
		r.Fails, r.Why = true, "undecided: a side has no value of an ok or suspect cell"
		return r
	}
	tested := len(b) >= needTest && len(o) >= needTest
	if tested {
		r.P = ptr(mannWhitney(b, o))
	}
	bm, om := median(b), median(o)
	change := om - bm
	if g.Relative {
		change = om/bm - 1
		if bm == 0 {
			change = math.Copysign(math.Inf(1), om)
			if om == 0 {
				change = 0
			}
		}
	}
	r.Base, r.New, r.Change = ptr(bm), ptr(om), ptr(change)
	past := g.Above && change > g.Limit || !g.Above && change < g.Limit
	switch {
	case !past:
		r.Why = "within the limit"
	case !tested:
		r.Fails, r.Why = true, "past the limit; "+NotTested
	case *r.P < alpha:
		r.Fails, r.Why = true, fmt.Sprintf("past the limit (p = %.2g)", *r.P)
	default:
		r.Why = fmt.Sprintf("past the limit, but no more than noise (p = %.2g)", *r.P)
	}
	return r
}
