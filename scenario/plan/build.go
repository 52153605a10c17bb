package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"sparkrun/scenario/addr"
	"sparkrun/scenario/schema"
)

// Build completes a plan whose servers, datasets, benchmarks, sinks and cells (in the
// file's order) are filled in: digests, the cells' order and numbers, sessions, tasks
// and estimates. What it decides depends on nothing but the plan.
func Build(p *Plan) {
	p.Schema = 1
	for i := range p.Servers {
		p.Servers[i].Digest = digest(p.serverShape(&p.Servers[i]))
	}
	for i := range p.Datasets {
		d := &p.Datasets[i]
		d.Digest = digest(d.Digest, d.Type, withoutPaths(d.Values))
		d.Needs = p.needs(d.Address)
	}
	for i := range p.Cells {
		c := &p.Cells[i]
		c.Name, c.Canonical = c.Address.String(), c.Address.Canonical()
		c.Seed = cellSeed(p.benchmark(c.Address.Benchmark).Seed, c.Address)
		c.Digest = digest(p.Version, c.Canonical, p.server(c.Server).Digest, p.dataset(c.Dataset).Digest, p.shape(c))
		c.Workload = digest(p.dataset(c.Dataset).Digest, c.workload())
		c.Estimate = c.estimate()
	}
	p.order()
	p.sessions()
	p.countStarts()
	p.tasks()
	for i := range p.Cells {
		c := &p.Cells[i]
		c.Number = i + 1
		p.Estimate.Seconds += c.Estimate.Seconds
		if c.Estimate.Requests < 0 || p.Estimate.Requests < 0 {
			p.Estimate.Requests = -1
		} else {
			p.Estimate.Requests += c.Estimate.Requests
		}
	}
}

// withoutPaths are attributes without the files that they name: a file's content counts, not
// where it lies, or whether its path was given from the root on.
func withoutPaths(v schema.Values) schema.Values {
	out := schema.Values{}
	for name, x := range v {
		switch x.(type) {
		case string, []string: // schema.Path and PathList; other texts are schema.Text
		default:
			out[name] = x
		}
	}
	return out
}

// needs is the most that a cell asks of a dataset, as far as its phases say.
func (p *Plan) needs(dataset string) Amount {
	most := Amount{-1, -1}
	for i := range p.Cells {
		c := &p.Cells[i]
		if c.Dataset != dataset {
			continue
		}
		most.Turns = max(most.Turns, c.estimate().Requests)
		most.Conversations = max(most.Conversations, c.conversations())
	}
	return most
}

// conversations is how many a cell begins, -1 where a phase does not say. Those whose
// first turns a phase has played go on in the next.
func (c *Cell) conversations() int64 {
	begun, open := int64(0), int64(0)
	for _, ph := range c.Phases {
		switch {
		case ph.Conversations == 0:
			return -1
		case ph.FirstTurnOnly:
			begun += ph.Conversations
			open += ph.Conversations
		default:
			goOn := min(open, ph.Conversations)
			open -= goOn
			begun += ph.Conversations - goOn
		}
	}
	return begun
}

// cellSeed seeds what a cell sends. The server is left out of it, so that every server
// gets the same requests.
func cellSeed(seed uint64, c addr.Cell) uint64 {
	c.Axes = slices.DeleteFunc(slices.Clone(c.Axes), func(a addr.Axis) bool { return a.Name == "server" })
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", seed, c.Canonical())
	return h.Sum64()
}

// digest is over the JSON of its parts, in which maps have sorted keys and secrets are
// redacted.
func digest(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("plan: digest of plain data: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// serverShape is what of a server shapes its numbers; where it is launched, its nodes'
// fabric and environment too.
func (p *Plan) serverShape(s *Server) any {
	shape := []any{s.Name, s.Framework, s.Nodes, s.URL, s.Model, s.Headers, s.Values, s.Options}
	for _, n := range p.Nodes {
		if s.URL == "" && slices.Contains(s.Nodes, n.Name) {
			shape = append(shape, n.Host, n.Values["fabric_ip"], n.Values["interface"], n.Values["env"])
		}
	}
	return shape
}

// shape is what of a cell shapes its numbers, apart from its server and dataset. Metrics
// and slos are computed from the rows and may change.
func (c *Cell) shape() any {
	return []any{c.API, c.Stream, c.Seed, c.Phases, c.Conversations, c.Request, c.Abort, c.Search, c.Restart, c.Cache}
}

// shape is that of a cell, and where its load comes from.
func (p *Plan) shape(c *Cell) any {
	if p.Generator == nil {
		return c.shape()
	}
	return []any{c.shape(), p.Generator}
}

// workload is what is sent and when, whatever the seed. Headers are left out: they are
// mostly keys.
func (c *Cell) workload() any {
	r := c.Request
	r.Headers = nil
	return []any{c.API, c.Stream, c.Phases, c.Conversations, r, c.Cache}
}

func (p *Plan) benchmark(name string) *Benchmark {
	for i := range p.Benchmarks {
		if p.Benchmarks[i].Name == name {
			return &p.Benchmarks[i]
		}
	}
	return &Benchmark{Name: name}
}

func (p *Plan) server(address string) *Server {
	for i := range p.Servers {
		if p.Servers[i].Address == address {
			return &p.Servers[i]
		}
	}
	return &Server{Address: address}
}

func (p *Plan) dataset(address string) *Dataset {
	for i := range p.Datasets {
		if p.Datasets[i].Address == address {
			return &p.Datasets[i]
		}
	}
	return &Dataset{Address: address}
}

// order puts the cells into the order in which they run. Benchmarks follow each other as
// the file has them, but neighbours that are grouped share their servers' starts.
func (p *Plan) order() {
	var out []Cell
	for rest := p.Cells; len(rest) > 0; {
		first := p.benchmark(rest[0].Address.Benchmark)
		n := 1
		for n < len(rest) {
			b := p.benchmark(rest[n].Address.Benchmark)
			if b != first && (b.Order != "grouped" || first.Order != "grouped") {
				break
			}
			n++
		}
		out = append(out, arrange(rest[:n], *first)...)
		rest = rest[n:]
	}
	p.Cells = out
}

// arrange orders the cells of a stretch. grouped: server by server, shuffled within one.
// interleaved: repeat by repeat, shuffled within one. file: as they are.
func arrange(cells []Cell, b Benchmark) []Cell {
	key := func(c *Cell) string { return c.Server }
	switch b.Order {
	case "file":
		return cells
	case "interleaved":
		key = func(c *Cell) string { return fmt.Sprint(c.Address.Repeat) }
	}
	var keys []string
	groups := map[string][]Cell{}
	for i := range cells {
		k := key(&cells[i])
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], cells[i])
	}
	r := rand.New(rand.NewPCG(b.Seed, 0x6f72646572)) // "order"
	var out []Cell
	for _, k := range keys {
		g := groups[k]
		r.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
		if b.SkipAbove != nil { // what decides must come first
			slices.SortStableFunc(g, func(a, c Cell) int {
				return cmp.Compare(a.Address.Number(b.SkipAbove.Axis), c.Address.Number(b.SkipAbove.Axis))
			})
		} else if b.Restart == "repeat" { // a start for each, not for every other cell
			slices.SortStableFunc(g, func(a, c Cell) int { return cmp.Compare(a.Address.Repeat, c.Address.Repeat) })
		}
		out = append(out, g...)
	}
	return out
}

// sessions groups the ordered cells by server start. A launched server holds its nodes,
// so it stops when another one needs any of them; one that is attached to holds none.
func (p *Plan) sessions() {
	type holder struct{ session, last string }
	var (
		open   = map[string]int{}    // server → index of its session that goes on
		starts = map[string]int{}    // server → sessions so far
		holds  = map[string]holder{} // node → who holds it
	)
	for i := range p.Cells {
		c := &p.Cells[i]
		s := p.server(c.Server)
		at, ok := open[c.Server]
		if !ok {
			starts[c.Server]++
			id := c.Server
			if n := starts[c.Server]; n > 1 {
				id = fmt.Sprintf("%s~%d", c.Server, n)
			}
			session := Session{ID: id, Server: c.Server, After: []string{}}
			if s.URL == "" {
				session.Nodes = slices.Compact(slices.Sorted(slices.Values(s.Nodes)))
			}
			for _, n := range session.Nodes {
				if h, held := holds[n]; held {
					delete(open, h.last)
					if !slices.Contains(session.After, h.session) {
						session.After = append(session.After, h.session)
					}
				}
				holds[n] = holder{id, c.Server}
			}
			at = len(p.Sessions)
			open[c.Server] = at
			p.Sessions = append(p.Sessions, session)
		}
		p.Sessions[at].Cells = append(p.Sessions[at].Cells, c.Canonical)
		c.Session = p.Sessions[at].ID
	}
}

// tasks makes the DAG. Sessions that share a node follow each other by After edges from
// the check of the later one to the stop of the earlier one.
func (p *Plan) tasks() {
	add := func(t Task) {
		if t.Needs == nil {
			t.Needs = []string{}
		}
		if t.After == nil {
			t.After = []string{}
		}
		p.Tasks = append(p.Tasks, t)
	}
	var ends []string
	var generator []string // the task that starts it
	if p.Generator != nil {
		add(Task{ID: GeneratorAddress + ".start", Kind: TaskGenerator, Subject: GeneratorAddress})
		generator = []string{GeneratorAddress + ".start"}
	}
	for _, d := range p.Datasets {
		add(Task{ID: d.Address + ".load", Kind: TaskDataset, Subject: d.Address})
	}
	for _, s := range p.Sessions {
		check, start, stop := s.ID+".check", s.ID+".start", s.ID+".stop"
		var after, loads []string
		for _, before := range s.After {
			after = append(after, before+".stop")
		}
		// A server is not started for datasets that can't be read.
		for i := range p.Cells {
			if load := p.Cells[i].Dataset + ".load"; p.Cells[i].Session == s.ID && !slices.Contains(loads, load) {
				loads = append(loads, load)
			}
		}
		add(Task{ID: check, Kind: TaskCheck, Subject: s.Server, Session: s.ID, Needs: generator, After: slices.Concat(after, loads)})
		add(Task{ID: start, Kind: TaskStart, Subject: s.Server, Session: s.ID, Needs: []string{check}})
		for _, canonical := range s.Cells {
			add(Task{ID: canonical, Kind: TaskCell, Subject: canonical, Session: s.ID, Needs: []string{start, p.cell(canonical).Dataset + ".load"}})
		}
		add(Task{ID: stop, Kind: TaskStop, Subject: s.Server, Session: s.ID, After: append([]string{start}, s.Cells...), Final: true, Guard: start})
		ends = append(ends, stop)
	}
	for i := range p.Cells {
		ends = append(ends, p.Cells[i].Canonical)
	}
	if p.Generator != nil {
		stop := Task{ID: GeneratorAddress + ".stop", Kind: TaskGeneratorStop, Subject: GeneratorAddress, After: slices.Clone(generator), Final: true, Guard: generator[0]}
		for i := range p.Cells {
			stop.After = append(stop.After, p.Cells[i].Canonical)
		}
		add(stop)
		ends = append(ends, stop.ID)
	}
	for _, s := range p.Sinks {
		add(Task{ID: s.Address + ".write", Kind: TaskSink, Subject: s.Address, After: ends, Final: true})
	}
}

// Starts is how many times servers are started, also between the cells of a session.
func (p *Plan) Starts() int {
	n := 0
	for _, s := range p.Sessions {
		n += s.Starts
	}
	return n
}

// countStarts counts those of each session: for certain, and those that there are besides
// where a server refuses to empty its prefix cache. A server that is attached to has none.
func (p *Plan) countStarts() {
	for i := range p.Sessions {
		s := &p.Sessions[i]
		srv := p.server(s.Server)
		if srv.URL != "" {
			continue
		}
		s.Starts = 1
		for i := 1; i < len(s.Cells); i++ {
			last, next := p.cell(s.Cells[i-1]), p.cell(s.Cells[i])
			switch {
			case RestartsBefore(last, next):
				s.Starts++
			case next.NeedsFresh(srv) && srv.CacheReset == "":
				s.Starts++
			case next.NeedsFresh(srv):
				s.MoreStarts++
			}
		}
	}
}

// RestartsBefore reports whether a server is started anew between two cells.
func RestartsBefore(last, next *Cell) bool {
	return next.Restart == "cell" || (next.Restart == "repeat" && last.Address.Repeat != next.Address.Repeat)
}

func (p *Plan) cell(canonical string) *Cell {
	for i := range p.Cells {
		if p.Cells[i].Canonical == canonical {
			return &p.Cells[i]
		}
	}
	panic("plan: no cell " + canonical)
}

// estimate adds up what the phases say of themselves.
func (c *Cell) estimate() Estimate {
	var sum Estimate
	for i := range c.Phases {
		e := c.Phases[i].Estimate()
		sum.Seconds += e.Seconds
		if e.Requests < 0 || sum.Requests < 0 {
			sum.Requests = -1
		} else {
			sum.Requests += e.Requests
		}
	}
	if s := c.Search; s != nil {
		steps := s.estimate()
		sum.Seconds *= steps
		sum.Requests = -1
	}
	return sum
}

// estimate is about how many measurements a search takes: the way up, the halving, and
// the confirmation.
func (s *Search) estimate() float64 {
	return min(float64(s.MaxSteps), math.Ceil(math.Log2(float64(len(s.Rungs))+1))+2+float64(s.Confirm))
}

// Estimate is the phase's length and number of requests as far as its declaration says:
// a closed loop's requests in a duration depend on the server, an open loop's don't.
func (ph *Phase) Estimate() Estimate {
	e := Estimate{Requests: -1, Seconds: ph.Duration.Seconds()}
	if ph.Requests > 0 && ph.Duration == 0 {
		e.Requests = ph.Requests
	}
	if ph.Rate != nil && ph.RateOf != "conversations" {
		mean := (ph.Rate.From + ph.Rate.To) / 2
		switch {
		case ph.Duration > 0:
			e.Requests = int64(mean*ph.Duration.Seconds() + 0.5)
			if ph.Requests > 0 && ph.Requests < e.Requests {
				e.Requests, e.Seconds = ph.Requests, float64(ph.Requests)/mean
			}
		case ph.Requests > 0 && mean > 0:
			e.Seconds = float64(ph.Requests) / mean
		}
	}
	return e
}

// Total is the longest that a phase's length can be told to be, 0 for unknown.
func (ph *Phase) Total() time.Duration { return max(ph.Duration, ph.MaxDuration) }
