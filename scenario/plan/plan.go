package plan

import (
	"slices"
	"strings"
	"time"

	"sparkrun/scenario/addr"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/schema"
)

// Plan is a whole run, known before anything is touched.
type Plan struct {
	Schema     int         `json:"schema"`  // 1
	Version    string      `json:"version"` // of the program: its change makes digests new
	Scenario   string      `json:"scenario"`
	Files      []string    `json:"files"`
	Variables  []Variable  `json:"variables"`
	Nodes      []Node      `json:"nodes"`
	Servers    []Server    `json:"servers"`
	Datasets   []Dataset   `json:"datasets"`
	Benchmarks []Benchmark `json:"benchmarks"`
	Sessions   []Session   `json:"sessions"`
	Cells      []Cell      `json:"cells"` // in the order they run
	Tasks      []Task      `json:"tasks"` // in a topological order
	Thresholds []Threshold `json:"thresholds"`
	Sinks      []Sink      `json:"sinks"`
	Generator  *Generator  `json:"generator,omitempty"`
	Warnings   []string    `json:"warnings"`
	Estimate   Estimate    `json:"estimate"`

	// Secrets are the true values of everything sensitive, for the writers that must
	// replace them. Never marshalled.
	Secrets []string `json:"-"`
}

// Variable is an input of the scenario and who set it ("default", "--var",
// "SPARKRUN_VAR_x", a file's name).
type Variable struct {
	Name   string      `json:"name"`
	Value  schema.Text `json:"value"` // as JSON text
	Source string      `json:"source"`
}

// Node is a machine. The node named "local" is this one; it is here only where its
// fabric is told.
type Node struct {
	Name   string        `json:"name"`
	Host   string        `json:"host"`
	Values schema.Values `json:"attributes"`
	// Slots is how many processes a hostfile allows there, 0 where none says.
	Slots int64 `json:"slots,omitempty"`
}

// Generator is where the load comes from, if not from this process: other processes, the
// workers, which share it.
type Generator struct {
	Launcher string   `json:"launcher"`           // "local", "ssh", "mpirun" or "srun"
	Nodes    []string `json:"nodes,omitempty"`    // names
	PerNode  int      `json:"per_node,omitempty"` // workers on each; 0: the launcher's hostfile says
	Hostfile string   `json:"hostfile,omitempty"`
}

// GeneratorAddress is what the one generator of a scenario is called.
const GeneratorAddress = "generator"

// String says in words where the load comes from.
func (g *Generator) String() string {
	of := "on this machine"
	switch {
	case g.Hostfile != "":
		of = "on the hosts of " + g.Hostfile
	case g.Launcher != "local" && len(g.Nodes) > 0:
		of = "on " + strings.Join(g.Nodes, ", ")
	case g.Launcher == "srun":
		of = "on the nodes of the allocation"
	}
	n := "a worker for each slot"
	if g.PerNode > 0 {
		n = count(g.PerNode, "worker")
		if g.Launcher != "local" {
			n += " each"
		}
	}
	return n + " " + of + " (" + g.Launcher + ")"
}

// Host is where a node is, by its name.
func (p *Plan) Host(node string) string {
	for _, n := range p.Nodes {
		if n.Name == node {
			return n.Host
		}
	}
	return node
}

// Server is one server instance: what must run so that a cell can be measured.
type Server struct {
	Address   string `json:"address"` // server.NAME
	Name      string `json:"name"`
	Framework string `json:"framework"`
	// Nodes are the names of the nodes, one a rank, replica by replica; ["local"] where none
	// is given. Two ranks may be on the same node.
	Nodes    []string               `json:"nodes"`
	Replicas int                    `json:"replicas,omitempty"` // 0 is 1; each is on len(Nodes)/Replicas ranks
	Balance  string                 `json:"balance,omitempty"`  // among replicas: "least_busy" or "round_robin"
	URL      string                 `json:"url,omitempty"`
	Model    string                 `json:"model,omitempty"`
	Port     int                    `json:"port,omitempty"` // 0: a free one
	APIKey   schema.Text            `json:"api_key"`
	Headers  map[string]schema.Text `json:"headers,omitempty"`
	// Values are all attributes of the block, defaults filled; Options those of options = {}.
	Values  schema.Values `json:"attributes"`
	Options schema.Values `json:"options"`
	Ready   Ready         `json:"ready"`
	Stop    Stop          `json:"stop"`
	// CacheReset is the path of the engine's call that empties its prefix cache, "" for none.
	CacheReset string `json:"cache_reset,omitempty"`
	Digest     string `json:"digest"` // hex, over everything above that shapes a number
}

// Ready is how long a server may take to be ready.
type Ready struct {
	Deadline time.Duration `json:"deadline_ns"`
	Stall    time.Duration `json:"stall_ns"` // without any progress
}

// Stop is how a server is stopped.
type Stop struct {
	Grace time.Duration `json:"grace_ns"` // between asking and killing
}

// Count is how many replicas the server has.
func (s *Server) Count() int { return max(1, s.Replicas) }

// Group are the nodes of a replica, by rank.
func (s *Server) Group(replica int) []string {
	n := len(s.Nodes) / s.Count()
	return s.Nodes[replica*n : (replica+1)*n]
}

// ServedName is the name under which the server has its model, "" for whichever it serves.
func (s *Server) ServedName() string {
	if n := s.Values.String("served_name"); n != "" {
		return n
	}
	return s.Model
}

// Dataset is what is sent.
type Dataset struct {
	Address string        `json:"address"` // dataset.NAME
	Name    string        `json:"name"`
	Type    string        `json:"type"`
	Values  schema.Values `json:"attributes"`
	Digest  string        `json:"digest"`
	// Needs is what the largest of its cells sends; Has is what there is, nil where nobody
	// has counted it.
	Needs Amount  `json:"needs"`
	Has   *Amount `json:"has"`
}

// Amount is a number of conversations and of their user turns (requests); -1 is not
// known, or endless.
type Amount struct {
	Conversations int64 `json:"conversations"`
	Turns         int64 `json:"turns"`
}

// Benchmark is how the cells of a benchmark are put in order.
type Benchmark struct {
	Name  string `json:"name"`
	Order string `json:"order"` // "grouped", "interleaved" or "file"
	Seed  uint64 `json:"seed"`  // of the shuffle and of what is sent
	// Restart is when a server is started anew: "never", before each "cell" or "repeat".
	Restart string `json:"restart"`
	// SkipAbove leaves cells out that lie above one whose results are bad enough.
	SkipAbove *SkipAbove `json:"skip_above,omitempty"`
}

// SkipAbove is a rule: where a cell meets the condition, those that differ from it by a
// greater value of the axis alone are skipped.
type SkipAbove struct {
	Axis    string          `json:"axis"`
	Source  string          `json:"when"`
	Program *metric.Program `json:"program"` // over result paths
}

// Session is a stretch of cells on one server start: start → cells → stop. Sessions
// that share a node run one after the other.
type Session struct {
	ID     string   `json:"id"`     // server.NAME, or server.NAME~2 for a later start
	Server string   `json:"server"` // address
	Nodes  []string `json:"nodes"`
	Cells  []string `json:"cells"`  // canonical addresses
	After  []string `json:"after"`  // sessions that hold a node of ours before us
	Starts int      `json:"starts"` // of the server, those between its cells too; 0: it is running already
	// MoreStarts are those that come to them where the server refuses to empty its prefix cache.
	MoreStarts int `json:"more_starts,omitempty"`
}

// Cell is one measurement: what is addressed, resumed and judged.
type Cell struct {
	Address   addr.Cell `json:"-"`
	Name      string    `json:"address"`   // Address.String()
	Canonical string    `json:"canonical"` // Address.Canonical(): the key in journals
	Number    int       `json:"number"`    // from 1: the n in requests/<n>.parquet
	Digest    string    `json:"digest"`    // everything that shapes the number
	// Workload is what is sent and when, without who answers: cells with the same one may
	// be compared.
	Workload string `json:"workload"`

	Server  string `json:"server"`  // address
	Dataset string `json:"dataset"` // address
	Session string `json:"session"`
	Restart string `json:"restart"` // of its benchmark
	API     string `json:"api"`     // "chat" or "completions"
	Cache   string `json:"cache"`   // CacheCold, CachePrimed or CacheAsIs
	// CacheAsked: the scenario says so, it is not the default.
	CacheAsked bool   `json:"cache_asked"`
	Stream     bool   `json:"stream"`
	Seed       uint64 `json:"seed"` // of this cell, from the benchmark's seed and the repeat

	Phases        []Phase       `json:"phases"`
	Conversations Conversations `json:"conversations"`
	Request       Request       `json:"request"`
	Record        Record        `json:"record"`
	Telemetry     *Telemetry    `json:"telemetry,omitempty"` // nil: none; no part of the digest
	Abort         *Abort        `json:"abort,omitempty"`
	Search        *Search       `json:"search,omitempty"` // Phases are then those of its lowest value
	Metrics       []Metric      `json:"metrics"`
	SLOs          []SLO         `json:"slos"`
	Estimate      Estimate      `json:"estimate"`
}

// Search looks for the highest value whose phases meet a goal. The values that it may try
// are known beforehand, so that a run of it is as repeatable as any cell.
type Search struct {
	Name     string          `json:"name"`
	Vary     string          `json:"vary"` // "rate" or "concurrency"
	Goal     string          `json:"goal"` // the expression's text
	Program  *metric.Program `json:"program"`
	MaxSteps int64           `json:"max_steps"`
	Confirm  int64           `json:"confirm"` // times the found value is measured again
	Rungs    []Rung          `json:"rungs"`   // by value
}

// Rung is a value that a search may try, and the phases that it has then.
type Rung struct {
	Value  float64 `json:"value"`
	Phases []Phase `json:"phases"`
}

// Estimate is what is known of the size beforehand. Requests is -1 where only the run
// can tell; Seconds is a lower bound from durations.
type Estimate struct {
	Requests int64   `json:"requests"`
	Seconds  float64 `json:"seconds"`
}

// Phase is a stretch of load with its stop rules. The first limit reached ends it.
type Phase struct {
	Name          string        `json:"name"`
	Measure       bool          `json:"measure"`
	Duration      time.Duration `json:"duration_ns,omitempty"`     // 0: no limit
	Requests      int64         `json:"requests,omitempty"`        // 0: no limit
	Conversations int64         `json:"conversations,omitempty"`   // 0: no limit; started
	MinRequests   int64         `json:"min_requests,omitempty"`    // go on past Duration until so many ended
	MaxDuration   time.Duration `json:"max_duration_ns,omitempty"` // hard end, also of MinRequests
	Concurrency   *Curve        `json:"concurrency,omitempty"`     // closed loop
	Rate          *Curve        `json:"rate,omitempty"`            // open loop, arrivals per second
	Arrival       string        `json:"arrival,omitempty"`         // "poisson", "constant" or "gamma"
	Burstiness    float64       `json:"burstiness,omitempty"`      // shape of gamma arrivals; 1 is Poisson
	Replay        bool          `json:"replay,omitempty"`          // arrivals are those of the dataset
	Speed         float64       `json:"speed,omitempty"`           // of the replay; 2: twice as fast
	MaxInFlight   int64         `json:"max_concurrency,omitempty"` // open loop; 0: no limit
	RateOf        string        `json:"rate_of,omitempty"`         // "requests" or "conversations"
	ThinkTime     dist.Dist     `json:"think_time_ns"`             // before a slot sends again
	Drain         time.Duration `json:"drain_ns"`                  // how long requests may finish
	DrainHere     bool          `json:"drain_here"`                // drain at the end of this phase, not only of the last
	FirstTurnOnly bool          `json:"first_turn_only,omitempty"` // later phases go on with the conversations
	EarlyStop     bool          `json:"early_stop,omitempty"`      // end when a conversation ends and none replaces it
	UntilStable   bool          `json:"until_stable,omitempty"`    // end when requests take as long as those before them
}

// OpenLoop reports whether requests leave when they arrive, not when others end.
func (ph *Phase) OpenLoop() bool { return ph.Rate != nil || ph.Replay }

// Curve is a level over a phase: constant where From equals To, else linear over its duration.
type Curve struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// At is the level after elapsed of total.
func (c Curve) At(elapsed, total time.Duration) float64 {
	if total <= 0 || elapsed >= total {
		return c.To
	}
	return c.From + (c.To-c.From)*float64(elapsed)/float64(total)
}

// Conversations is how multi-turn dialogues advance.
type Conversations struct {
	Active   int64  `json:"active"`    // 0: as many as requests in flight
	Sampling string `json:"sampling"`  // "round_robin" or "random"
	MaxTurns int64  `json:"max_turns"` // user turns; 0: all
	Answers  string `json:"answers"`   // "actual" or "dataset"
	Start    string `json:"start"`     // "first_turn" or "staggered"
	// KeepReasoning keeps the reasoning of answers in the history; Verify compares answers
	// with the dataset's.
	KeepReasoning bool `json:"keep_reasoning"`
	Verify        bool `json:"verify"`
}

// Request is what every request of a cell has.
type Request struct {
	Timeout     time.Duration          `json:"timeout_ns"`                     // whole request; 0: none
	IdleTimeout time.Duration          `json:"idle_timeout_ns"`                // between two reads; 0: none
	Retries     int64                  `json:"retries"`                        // sends after a failed one
	NoSpares    bool                   `json:"no_spare_connections,omitempty"` // each is opened as its request is due
	Temperature *float64               `json:"temperature,omitempty"`
	Seed        *int64                 `json:"seed,omitempty"`
	Stop        []string               `json:"stop,omitempty"`
	Output      string                 `json:"output"` // "forced" or "natural"
	MinTokens   *int64                 `json:"min_tokens,omitempty"`
	MaxTokens   *int64                 `json:"max_tokens,omitempty"`
	MaxField    string                 `json:"max_tokens_field"`
	Headers     map[string]schema.Text `json:"headers,omitempty"`
	Body        map[string]any         `json:"body,omitempty"` // merged over ours
}

// Record is what is kept of each request beyond its numbers.
type Record struct {
	Events  bool `json:"events"`
	Content bool `json:"content"`
}

// The sources of telemetry.
const (
	SourceGPU    = "gpu"
	SourceNode   = "node"
	SourceServer = "server"
)

// Telemetry is what is sampled while a cell is measured.
type Telemetry struct {
	Interval time.Duration `json:"interval_ns"`
	Sources  []string      `json:"sources"`
}

// Has reports whether there is telemetry of a source.
func (t *Telemetry) Has(source string) bool { return t != nil && slices.Contains(t.Sources, source) }

// Abort ends a cell early when ErrorRate of the last OfLast requests failed.
type Abort struct {
	ErrorRate float64 `json:"error_rate"`
	OfLast    int64   `json:"of_last"`
}

// Metric is a number computed per request.
type Metric struct {
	Name    string          `json:"name"`
	Unit    string          `json:"unit"`
	Source  string          `json:"source"` // the expression's text
	Program *metric.Program `json:"program"`
}

// SLO is a condition a request meets or not.
type SLO struct {
	Name    string          `json:"name"`
	Source  string          `json:"source"`
	Program *metric.Program `json:"program"`
}

// Threshold is a condition on a cell's results that decides the exit code.
type Threshold struct {
	Name         string            `json:"name"`
	Source       string            `json:"source"`
	ErrorMessage string            `json:"error_message"`
	Where        map[string]string `json:"where,omitempty"` // axis → value as printed
	Phase        string            `json:"phase,omitempty"`
	Over         string            `json:"over"` // "median" or "each"
	// Program's columns are paths of metric.ResultPaths, of the cell itself, or after
	// "baseline." of the same cell of the baseline, or after a name of Peers and "." of
	// that peer.
	Program *metric.Program `json:"program"`
	// Peers are the cells that the condition compares with: a name as peer(server=sglang),
	// and the axis values that are another there.
	Peers map[string]map[string]string `json:"peers,omitempty"`
	Range string                       `json:"range"` // file:line
}

// Sink is where results go.
type Sink struct {
	Address string        `json:"address"` // sink.NAME
	Type    string        `json:"type"`
	Values  schema.Values `json:"attributes"`
}

// TaskKind is what a task does.
type TaskKind string

// The kinds of task.
const (
	TaskCheck   TaskKind = "check"   // node, port, memory: before its session starts
	TaskDataset TaskKind = "dataset" // load and verify
	TaskStart   TaskKind = "start"   // launch or attach, until ready
	TaskCell    TaskKind = "cell"
	TaskStop    TaskKind = "stop" // final
	TaskSink    TaskKind = "sink" // final

	TaskGenerator     TaskKind = "generator"      // start its workers
	TaskGeneratorStop TaskKind = "generator_stop" // final
)

// Task is a node of the DAG. Needs spreads failure: a dependant is skipped with the
// cause. After is order only. A Final task runs even after failure or interrupt, and
// only where its Guard was attempted.
type Task struct {
	ID      string   `json:"id"`
	Kind    TaskKind `json:"kind"`
	Subject string   `json:"subject"` // the address of the server, dataset or sink, or the cell's canonical address
	Session string   `json:"session,omitempty"`
	Needs   []string `json:"needs"`
	After   []string `json:"after"`
	Final   bool     `json:"final,omitempty"`
	Guard   string   `json:"guard,omitempty"`
}
