package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// JSON writes the plan as one indented JSON object.
func (p *Plan) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(p)
}

// TextOptions are what the text needs to know of other layers.
type TextOptions struct {
	// Launch says how a server is started, a line each; nil leaves it out.
	Launch func(Server) []string
	// Generator says how workers are started where one command does it; nil leaves it out.
	Generator func(Generator) []string
}

// Text writes the plan for people.
func (p *Plan) Text(w io.Writer, o TextOptions) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "Scenario %s: %d cells, %s, %s\n", p.Scenario, len(p.Cells), p.startsText(), p.Estimate)
	for _, b := range p.Benchmarks {
		fmt.Fprintf(out, "  benchmark.%s\torder %s, seed %d\n", b.Name, b.Order, b.Seed)
	}
	for _, v := range p.Variables {
		fmt.Fprintf(out, "  var.%s\t= %s\t(%s)\n", v.Name, v.Value, v.Source)
	}
	if p.Generator != nil {
		fmt.Fprintf(out, "  generator\t%s\n", p.Generator)
		if o.Generator != nil {
			for _, line := range o.Generator(*p.Generator) {
				fmt.Fprintf(out, "  $ %s\n", line)
			}
		}
	}
	for _, s := range p.Sessions {
		srv := p.server(s.Server)
		fmt.Fprintf(out, "\n%s\t%s%s\n", s.ID, srv.Framework, where(srv))
		if len(s.After) > 0 {
			fmt.Fprintf(out, "  after %s has stopped\n", strings.Join(s.After, ", "))
		}
		if o.Launch != nil {
			for _, line := range o.Launch(*srv) {
				fmt.Fprintf(out, "  $ %s\n", line)
			}
		}
		for _, canonical := range s.Cells {
			c := p.cell(canonical)
			fmt.Fprintf(out, "  %d\t%s\t%s\n", c.Number, c.Name, c.Estimate)
		}
	}
	fmt.Fprintln(out)
	shown := map[string]bool{}
	for i := range p.Cells {
		c := &p.Cells[i]
		if b := c.Address.Benchmark; !shown[b] {
			shown[b] = true
			fmt.Fprintf(out, "Phases of benchmark.%s, as in %s:\n", b, c.Name)
			for j := range c.Phases {
				fmt.Fprintf(out, "  %s\t%s\n", c.Phases[j].Name, c.Phases[j].describe())
			}
			for _, text := range p.cacheTexts(b) {
				fmt.Fprintf(out, "  cache\t%s\n", text)
			}
			if s := c.Search; s != nil {
				fmt.Fprintf(out, "  search %s\t%s from %g to %g in %d rungs, goal %s\n", s.Name, s.Vary, s.Rungs[0].Value, s.Rungs[len(s.Rungs)-1].Value, len(s.Rungs), s.Goal)
			}
			for _, m := range c.Metrics {
				fmt.Fprintf(out, "  metric %s\t%s\n", m.Name, m.Source)
			}
			for _, m := range c.SLOs {
				fmt.Fprintf(out, "  slo %s\t%s\n", m.Name, m.Source)
			}
		}
	}
	for _, d := range p.Datasets {
		fmt.Fprintf(out, "%s\t%s%s\n", d.Address, d.Type, settings(d.Values))
		fmt.Fprintf(out, "  needed by a cell\t%s\n  there\t%s\n", d.Needs, d.Has.there())
	}
	for _, t := range p.Thresholds {
		fmt.Fprintf(out, "threshold.%s\t%s\n", t.Name, t.Source)
	}
	for _, s := range p.Sinks {
		fmt.Fprintf(out, "%s\t%s\n", s.Address, s.Type)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(out, "Warning: %s\n", warning)
	}
	return out.Flush()
}

// startsText says how often servers are started, which takes time that no estimate has.
func (p *Plan) startsText() string {
	more := 0
	for _, s := range p.Sessions {
		more += s.MoreStarts
	}
	text := count(p.Starts(), "server start")
	if more > 0 {
		text += fmt.Sprintf(" (up to %d more where a server refuses to empty its prefix cache)", more)
	}
	return text
}

// String says it in words: "1200 requests, at least 12m0s".
func (e Estimate) String() string {
	requests := "requests by time"
	if e.Requests >= 0 {
		requests = count(int(e.Requests), "request")
	}
	if e.Seconds == 0 {
		return requests
	}
	return fmt.Sprintf("%s, at least %s of load", requests, (time.Duration(e.Seconds) * time.Second).Round(time.Second))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func where(s *Server) string {
	if s.URL != "" {
		return " at " + s.URL
	}
	var groups []string
	for i := range s.Count() {
		groups = append(groups, strings.Join(s.Group(i), ", "))
	}
	on := " on " + strings.Join(groups, " | ")
	if len(groups) > 1 {
		on += fmt.Sprintf(" (%d replicas, balance %s)", len(groups), s.Balance)
	}
	return on
}

// String says an amount as far as it is known.
func (a Amount) String() string {
	var parts []string
	if a.Conversations >= 0 {
		parts = append(parts, count(int(a.Conversations), "conversation"))
	}
	if a.Turns >= 0 {
		parts = append(parts, count(int(a.Turns), "turn"))
	}
	if parts == nil {
		return "by time"
	}
	return strings.Join(parts, ", ")
}

// there says what a dataset has.
func (a *Amount) there() string {
	switch {
	case a == nil:
		return "not counted: the file is large, sparkrun dataset stats reads it"
	case a.Conversations < 0:
		return "endless"
	}
	return count(int(a.Conversations), "conversation") + ", " + count(int(a.Turns), "turn")
}

// describe says what a phase does and when it ends.
func (ph *Phase) describe() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case ph.Rate != nil:
		add("rate %s %s/s, %s arrivals", ph.Rate, ph.RateOf, ph.Arrival)
	case ph.Replay:
		add("replay at speed %v", ph.Speed)
	case ph.Concurrency != nil:
		add("concurrency %s", ph.Concurrency)
	}
	if ph.MaxInFlight > 0 {
		add("at most %d in flight", ph.MaxInFlight)
	}
	if ph.Requests > 0 {
		add("%d requests", ph.Requests)
	}
	if ph.Conversations > 0 {
		add("%d conversations", ph.Conversations)
	}
	if ph.Duration > 0 {
		add("%s", ph.Duration)
	}
	if ph.MinRequests > 0 {
		add("at least %d requests", ph.MinRequests)
	}
	if ph.MaxDuration > 0 {
		add("at most %s", ph.MaxDuration)
	}
	if ph.Measure {
		add("measured")
	} else {
		add("not measured")
	}
	return strings.Join(parts, ", ")
}

// String is the level, "from → to" where it changes.
func (c *Curve) String() string {
	if c.From == c.To {
		return fmt.Sprint(c.From)
	}
	return fmt.Sprintf("%v → %v", c.From, c.To)
}

// settings prints attributes in one line, sorted.
func settings(values map[string]any) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if d, ok := values[k].(time.Duration); ok {
			fmt.Fprintf(&b, " %s=%s", k, d)
			continue
		}
		v, err := json.Marshal(values[k])
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, " %s=%s", k, strings.Trim(string(v), `"`))
	}
	return b.String()
}

// DOT writes the tasks as a Graphviz graph: solid edges need success, dashed are order.
func (p *Plan) DOT(w io.Writer) error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "digraph %q {\n  rankdir=LR\n  node [shape=box]\n", p.Scenario)
	for _, t := range p.Tasks {
		fmt.Fprintf(out, "  %q\n", t.ID)
	}
	for _, t := range p.Tasks {
		for _, n := range t.Needs {
			fmt.Fprintf(out, "  %q -> %q\n", n, t.ID)
		}
		for _, a := range t.After {
			fmt.Fprintf(out, "  %q -> %q [style=dashed]\n", a, t.ID)
		}
	}
	out.WriteString("}\n")
	_, err := io.WriteString(w, out.String())
	return err
}

// Mermaid writes the tasks as a Mermaid flowchart with the same edges.
func (p *Plan) Mermaid(w io.Writer) error {
	out := &strings.Builder{}
	out.WriteString("flowchart LR\n")
	ids := map[string]string{}
	for i, t := range p.Tasks {
		ids[t.ID] = fmt.Sprintf("t%d", i)
		fmt.Fprintf(out, "  t%d[\"%s\"]\n", i, strings.ReplaceAll(t.ID, `"`, "#quot;"))
	}
	for _, t := range p.Tasks {
		for _, n := range t.Needs {
			fmt.Fprintf(out, "  %s --> %s\n", ids[n], ids[t.ID])
		}
		for _, a := range t.After {
			fmt.Fprintf(out, "  %s -.-> %s\n", ids[a], ids[t.ID])
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}
