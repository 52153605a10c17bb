package dist

import (
	"encoding/json"
	"strconv"
)

// Kind names a distribution as the scenario language does.
type Kind string

// The distributions.
const (
	Constant    Kind = "constant"
	Uniform     Kind = "uniform"
	Normal      Kind = "normal"
	Lognormal   Kind = "lognormal"
	Exponential Kind = "exponential"
	Poisson     Kind = "poisson"
	Zipf        Kind = "zipf"
	Choice      Kind = "choice"
	// Described is a distribution that was read back from a plan's JSON: its source alone
	// is known, it can't be sampled.
	Described Kind = "described"
)

// Dist is a distribution of numbers. Times are in nanoseconds. The zero Dist is the
// constant 0. Which parameters count depends on the kind; nil means not given.
type Dist struct {
	Kind        Kind
	Value       float64 // constant
	Min, Max    *float64
	Mean, Std   *float64
	MedianRatio *float64  // lognormal: median / mean, default 0.85
	Mu, Sigma   *float64  // lognormal in log space
	Alpha       *float64  // zipf
	Values      []float64 // choice
	Weights     []float64 // choice; nil is uniform
	// Source is how the scenario wrote it ("uniform(6, 9)"); it is what plan and the
	// digest show.
	Source string
}

// Const is the distribution that is always v.
func Const(v float64) Dist { return Dist{Kind: Constant, Value: v} }

// MarshalJSON writes a constant as its number and anything else as its source.
func (d Dist) MarshalJSON() ([]byte, error) {
	if d.Kind == Constant || d.Kind == "" {
		return json.Marshal(d.Value)
	}
	return json.Marshal(d.String())
}

// UnmarshalJSON reads what MarshalJSON writes: a constant, or a Described one.
func (d *Dist) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*d = Dist{Kind: Described}
		return json.Unmarshal(b, &d.Source)
	}
	*d = Dist{Kind: Constant}
	return json.Unmarshal(b, &d.Value)
}

// String is the source of the distribution, or the number of a constant.
func (d Dist) String() string {
	if d.Source == "" {
		return strconv.FormatFloat(d.Value, 'g', -1, 64)
	}
	return d.Source
}
