package result

import (
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/selftest"
	"sparkrun/scenario/plan"
)

// Run is a run as sinks and summary.json see it.
type Run struct {
	ID        string    `json:"id"`
	Scenario  string    `json:"scenario"`
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"`
	EpochUnix int64     `json:"epoch_unix_ns"` // the zero of every *_ns column
	Host      string    `json:"host"`
	OS        string    `json:"os"`
	Arch      string    `json:"arch"`
	CPU       string    `json:"cpu"`
	Cores     int       `json:"cores"`
	Simulated bool      `json:"simulated"` // a server of it is the simulator

	Selftest *selftest.Limit `json:"selftest"` // of this machine; null: none was made

	// Servers are what the cells were measured on, one for each that was different.
	Servers []Fingerprint `json:"servers"`

	Interrupted bool   `json:"interrupted"`
	Dir         string `json:"-"` // where sinks write relative paths

	Plan       *plan.Plan        `json:"-"`
	Entries    []Entry           `json:"-"` // of all cells, in plan order
	Thresholds []ThresholdResult `json:"-"`
}

// Summary is summary.json.
type Summary struct {
	Schema     int               `json:"schema"` // 1
	Run        Run               `json:"run"`
	Cells      []Entry           `json:"cells"`
	Repeats    []Repeats         `json:"repeats"`     // of cells that were measured more than once
	Servers    []Comparison      `json:"comparisons"` // of the servers of each benchmark
	Thresholds []ThresholdResult `json:"thresholds"`
}

// Entry is one cell and measured phase. result.X in the language is the path X in it.
type Entry struct {
	Address   string            `json:"address"`
	Benchmark string            `json:"benchmark"`
	Server    string            `json:"server"`
	Framework string            `json:"framework"`
	Model     string            `json:"model"`
	Dataset   string            `json:"dataset"`
	Matrix    map[string]string `json:"matrix"`
	Axes      []string          `json:"axes"` // names in file order
	Repeat    int               `json:"repeat"`
	Session   string            `json:"session"` // which start of the server
	Phase     string            `json:"phase"`
	Verdict   Verdict           `json:"verdict"`
	Cause     string            `json:"cause,omitempty"`   // why failed or skipped
	ByRule    bool              `json:"by_rule,omitempty"` // skipped as the scenario asked for (skip_above)
	Marks     []Mark            `json:"marks"`
	Digest    string            `json:"digest"`
	// Fingerprint is the id of that of the server, in run.servers; "" where nothing ran.
	Fingerprint string `json:"server_fingerprint"`
	// Cache is the state of the prefix cache that was declared, CacheMethod how it was made
	// ("reset", "salt", "restart", "off", "primed", "none"; "" where nothing ran).
	// CacheHitShare is the share of the tokens of conversations' first prompts that were in
	// it; of a cold one: beyond what these prompts have in common. null: not known.
	Cache         string   `json:"cache"`
	CacheMethod   string   `json:"cache_method"`
	CacheHitShare *float64 `json:"cache_hit_share"`
	// CacheCheck is what told that share: "usage" (of the answers), "counter" (the server's
	// own, which counts what others send too), or "not verified: " and why nothing did.
	CacheCheck string `json:"cache_check,omitempty"`
	Workload   string `json:"workload"` // what is sent and when: plan.Cell

	Window     Window              `json:"window"`
	Requests   Requests            `json:"requests"`
	Metrics    map[string]*Stats   `json:"metrics"`
	Units      map[string]string   `json:"units,omitempty"` // of the scenario's own metrics
	Throughput map[string]*float64 `json:"throughput"`      // over the window
	WholeRun   map[string]*float64 `json:"whole_run"`       // the same, first send to last arrival of the phase
	Goodput    map[string]*Goodput `json:"goodput"`
	Search     *Search             `json:"search,omitempty"` // the entry is then that of the value found
	Turns      *Turns              `json:"turns"`            // null where no conversation came to a second turn
	Telemetry  map[string]*float64 `json:"telemetry"`
	Errors     []ErrorCount        `json:"errors"`
	Workers    []Worker            `json:"workers,omitempty"` // that made the load, where it was not this process
}

// Window is the stretch that throughput is measured over, and whether it was steady.
type Window struct {
	Seconds float64  `json:"seconds"`
	Steady  *bool    `json:"steady"`   // null: not judged
	Drift   *float64 `json:"drift"`    // of the output-token rate over the window, as a share of its mean
	TrendP  *float64 `json:"trend_p"`  // probability of such a trend where there is none
	QuietMS *float64 `json:"quiet_ms"` // longest stretch without a token while requests were in flight
	// LateMS is how long after its start the last of several workers began.
	LateMS *float64 `json:"late_ms,omitempty"`
}

// Requests are the counts of a measured phase.
type Requests struct {
	Scheduled   int64            `json:"scheduled"`
	OK          int64            `json:"ok"`
	Failed      int64            `json:"failed"`
	SuccessRate *float64         `json:"success_rate"`
	ByStatus    map[string]int64 `json:"by_status"`
}

// Stats are the statistics of one field over the ok requests that have it. A percentile
// that the count does not support is null.
type Stats struct {
	Count     int64    `json:"count"`
	Undefined int64    `json:"undefined"` // ok requests without a value
	Mean      *float64 `json:"mean"`
	Std       *float64 `json:"std"`
	Min       *float64 `json:"min"`
	P25       *float64 `json:"p25"`
	P50       *float64 `json:"p50"`
	P75       *float64 `json:"p75"`
	P90       *float64 `json:"p90"`
	P95       *float64 `json:"p95"`
	P99       *float64 `json:"p99"`
	P999      *float64 `json:"p999"`
	P9999     *float64 `json:"p9999"`
	Max       *float64 `json:"max"`
	Binned    bool     `json:"binned,omitempty"` // over 2^24 values: percentiles are from 1 µs bins
}

// Goodput is how many requests met an slo; the name "all" stands for all slos together.
type Goodput struct {
	RequestsPerS *float64 `json:"requests_per_s"`
	Attainment   *float64 `json:"slo_attainment"` // of all scheduled requests
}

// ErrorCount is a line of the error table.
type ErrorCount struct {
	Status  string `json:"status"`
	Count   int64  `json:"count"`
	Message string `json:"message"` // of the first such request
}

// Verdict is how far a cell can be trusted.
type Verdict string

// The verdicts, worst first.
const (
	Failed  Verdict = "failed"
	Invalid Verdict = "invalid"
	Skipped Verdict = "skipped"
	Suspect Verdict = "suspect"
	OK      Verdict = "ok"
)

// Mark is a reason to doubt a number.
type Mark struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// ThresholdResult is a threshold on one cell (or on the median of its repeats).
type ThresholdResult struct {
	Name      string              `json:"name"`
	Address   string              `json:"address"` // the cell, without the repeat where over = "median"
	Phase     string              `json:"phase"`
	Pass      bool                `json:"pass"`
	Undecided bool                `json:"undecided"` // a value it needs is null: counts as false
	Source    string              `json:"source"`
	Message   string              `json:"message"`
	Values    map[string]*float64 `json:"values"` // what it read
}

// Cell is a finished cell with its raw records, as sinks get it. The records are read-only
// and gone after the call.
type Cell struct {
	Plan    *plan.Cell
	Server  *plan.Server
	Model   string // as the server names it
	Entries []Entry
	Records []record.Record
	Samples []record.Sample // telemetry, in the order of time for each thing sampled
	Outcome load.Outcome
}
