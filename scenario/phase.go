package scenario

import (
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
)

// phase decodes a phase for one cell. Mistakes are reported; the phase is then incomplete.
func (m *cellMaker) phase(b *hclsyntax.Block, w where) plan.Phase {
	before, unknown := len(m.diags), m.unknown
	m.known(b.Body, BlockType{Name: "phase", Attrs: phaseAttrs}, nil)
	v := m.attrs(b.Body, phaseAttrs, w)
	p := plan.Phase{
		Name: b.Labels[0], Measure: !slices.Contains([]string{"warmup", "ramp", "cooldown"}, b.Labels[0]),
		Duration: v.Duration("duration"), Requests: v.Int("requests"), Conversations: v.Int("conversations"), MinRequests: v.Int("min_requests"), MaxDuration: v.Duration("max_duration"),
		Arrival: v.String("arrival"), Burstiness: v.Float("burstiness"), Replay: v.Bool("replay"), Speed: v.Float("speed"),
		MaxInFlight: v.Int("max_concurrency"), RateOf: v.String("rate_of"), ThinkTime: v.Dist("think_time"),
		Drain: 30 * time.Second, DrainHere: v.Has("drain"), FirstTurnOnly: v.Bool("first_turn_only"), EarlyStop: v.Bool("early_stop"),
		UntilStable: v.Bool("until_stable"),
	}
	if v.Has("drain") {
		p.Drain = v.Duration("drain")
	}
	if v.Has("measure") {
		p.Measure = v.Bool("measure")
	}
	for attr, into := range map[string]**plan.Curve{"concurrency": &p.Concurrency, "rate": &p.Rate} {
		if c, ok := v[attr].([2]float64); ok {
			*into = &plan.Curve{From: c[0], To: c[1]}
		}
	}
	if len(m.diags) == before && m.unknown == unknown {
		m.checkPhase(b, &p)
		m.checkShared(b, &p)
	}
	switch {
	case p.Replay:
		p.RateOf = "conversations"
		if p.Speed == 0 {
			p.Speed = 1
		}
	case p.Rate != nil:
		if p.Arrival == "" {
			p.Arrival = "poisson"
		}
		if p.Burstiness == 0 {
			p.Burstiness = 1
		}
		if p.RateOf == "" {
			p.RateOf = "requests"
		}
	}
	return p
}

// checkPhase reports what the attributes say together that they can't.
func (m *cellMaker) checkPhase(b *hclsyntax.Block, p *plan.Phase) {
	set := func(attr string) bool { _, ok := b.Body.Attributes[attr]; return ok }
	at := func(attr string) hcl.Range {
		if a, ok := b.Body.Attributes[attr]; ok {
			return a.Expr.Range()
		}
		return b.DefRange()
	}
	wrong := func(attr, format string, args ...any) { m.errorf(at(attr), "Wrong value", format, args...) }
	idle := func(attr, format string, args ...any) {
		if set(attr) {
			m.errorf(at(attr), "Attribute without a meaning", format, args...)
		}
	}
	switch {
	case p.Duration == 0 && p.Requests == 0 && p.Conversations == 0 && !p.Replay:
		m.errorf(b.DefRange(), "Phase without an end", "Set duration, requests or conversations; the first reached ends the phase.")
	case p.Concurrency == nil && !p.OpenLoop():
		m.errorf(b.DefRange(), "Phase without load", "Set concurrency (requests in flight), rate (arrivals a second), or replay = true with a trace.")
	case p.Concurrency != nil && p.Rate != nil:
		m.errorf(at("rate"), "Two kinds of load", "concurrency and rate are both set: keep one; the limit of an open loop is max_concurrency.")
	case p.Replay && (p.Concurrency != nil || p.Rate != nil):
		m.errorf(at("replay"), "Two kinds of load", "A replay has the arrivals of its trace: leave concurrency and rate out; the limit of what is in flight is max_concurrency.")
	case p.Concurrency != nil && (min(p.Concurrency.From, p.Concurrency.To) < 1):
		wrong("concurrency", "concurrency must be at least 1.")
	case p.Rate != nil && (min(p.Rate.From, p.Rate.To) < 0 || max(p.Rate.From, p.Rate.To) == 0):
		wrong("rate", "rate must be above 0.")
	case p.MinRequests > 0 && p.Duration == 0:
		idle("min_requests", "min_requests goes on past duration, and there is no duration.")
	case p.MaxDuration > 0 && p.Duration > p.MaxDuration:
		wrong("max_duration", "max_duration is below duration.")
	}
	if c := p.Concurrency; c != nil && c.From == c.To && c.From != float64(int64(c.From)) {
		wrong("concurrency", "concurrency is %v: it must be a whole number.", c.From)
	}
	for attr, c := range map[string]*plan.Curve{"concurrency": p.Concurrency, "rate": p.Rate} {
		if c != nil && c.From != c.To && p.Duration == 0 && p.MaxDuration == 0 {
			m.errorf(at(attr), "Ramp without a length", "A ramp goes over the phase's duration: set duration or max_duration.")
		}
	}
	if set("speed") && p.Speed <= 0 {
		wrong("speed", "speed must be above 0.")
	}
	if set("burstiness") && p.Burstiness <= 0 {
		wrong("burstiness", "burstiness must be above 0.")
	}
	if !p.Replay {
		idle("speed", "speed is that of a replay: set replay = true.")
	}
	if p.Rate == nil {
		for _, attr := range []string{"arrival", "burstiness", "rate_of"} {
			idle(attr, "%s is for an open loop: set rate instead of concurrency.", attr)
		}
	}
	if p.UntilStable && p.Measure {
		m.errorf(at("until_stable"), "Attribute without a meaning", "until_stable ends a warm-up; a measured phase has the length that it is given. Set measure = false, or name it warmup.")
	}
	if p.OpenLoop() {
		idle("early_stop", "early_stop is for a closed loop: conversations of an open loop replace nobody.")
	} else {
		idle("max_concurrency", "max_concurrency is for an open loop: set rate instead of concurrency.")
	}
	if p.Rate != nil && p.Arrival != "gamma" {
		idle("burstiness", `burstiness is that of arrival = "gamma".`)
	}
	if p.Rate != nil && p.RateOf != "conversations" && p.ThinkTime.Kind != "" && p.ThinkTime.Kind != dist.Constant {
		idle("think_time", "In an open loop of requests arrivals do not wait for anybody to think.")
	}
}
