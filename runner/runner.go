package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sparkrun/runner/journal"
	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// Tools are what the runner needs from the layers that it must not import.
type Tools struct {
	Self      string // path of this program
	Worker    string // what the workers of a generator are on nodes where Self is not it; "" for none
	Node      func(name string) (targets.Node, error)
	Nodes     []string // those beside this machine
	Framework func(name string) (targets.Framework, bool)
	// Containers is the container engine of a node.
	Containers func(node string) (targets.Containers, error)
	Doer       func(ep targets.Endpoint, c *plan.Cell, clock record.Clock) (load.Client, error)
	// Source makes the requests of a cell; salted ones begin like no others before.
	Source func(ctx context.Context, d *plan.Dataset, c *plan.Cell, s *plan.Server, ep targets.Endpoint, salted bool) (load.Source, error)
	// CheckDataset reads what can be read of a dataset before any server is up.
	CheckDataset func(ctx context.Context, d *plan.Dataset) error
}

// Sink is what the runner asks of a sink (package sinks has the types).
type Sink interface {
	Begin(ctx context.Context, r *result.Run) error
	Cell(ctx context.Context, c *result.Cell) error
	End(ctx context.Context, r *result.Run) error
	Path() string
}

// Config is one run.
type Config struct {
	Plan        *plan.Plan
	Info        result.Run // who, when, where; the runner fills the rest
	Store       *store.Run
	Journal     *journal.Journal
	Clock       record.Clock
	Tools       Tools
	Sinks       map[string]Sink  // by address
	Parallelism int              // cells that load at a time
	Strict      bool             // a suspect cell counts as a failed one
	Baseline    *result.Baseline // what thresholds compare with; nil: nothing
	Control     *Control
	Observe     func(Event)             // called with one event at a time
	OnCell      func(*result.Cell)      // called with a finished cell as sinks are, before the next one loads; nil: nobody
	Resume      string                  // the command that goes on with this run
	Finished    map[string]journal.Line // cells that an earlier try finished, by canonical address
	KeepServers bool                    // leave the servers running that nothing else needs the place of
	ServersOnly bool                    // start servers and measure nothing
}

// Report is what came of a run.
type Report struct {
	Run      *result.Run
	ExitCode int
	Reasons  []string // every reason for a code other than 0, the deciding one first
}

// run is a run under way. Tasks work in goroutines of their own; mu guards what they share.
type run struct {
	Config
	info  *result.Run
	dir   string                // absolute path of the run's folder
	cells map[string]*plan.Cell // by canonical address

	mu      sync.Mutex
	servers map[string]*server             // running, by session
	prints  map[string]*result.Fingerprint // what a cell was measured on, by canonical address
	// tentative are finished cells of an earlier try whose server is to be looked at first;
	// settled those whose task has nothing left to do.
	tentative map[string]journal.Line
	settled   map[string]bool
	startErr  map[string]error // why a session's server is not there
	fleets    fleets
	sinkMu    sync.Mutex // sinks see one call at a time
	entries   map[string][]result.Entry
	said      map[string]bool         // notes of datasets
	lost      map[string]error        // nodes that do not answer any more, by name
	used      map[string]bool         // nodes on which a server was to be started, by name
	kills     map[string]*kernelKills // by node
	problems  problems
	seq       int64
	begun     time.Time
	doneSecs  float64 // estimated seconds of the cells that have ended
}

// problems are the reasons for an exit code, apart from the cells' and thresholds' own.
type problems struct {
	run     []string // the run could not be done
	cleanup []string // clean-up is not verified
}

// Run executes a plan. Everything measured is in the store and the sinks when it
// returns; what went wrong is in the report.
func Run(cfg Config) *Report {
	info := cfg.Info
	info.Plan, info.Dir = cfg.Plan, cfg.Store.Dir
	r := &run{
		Config: cfg, info: &info, begun: time.Now(), dir: absolute(cfg.Store.Dir),
		cells:     map[string]*plan.Cell{},
		servers:   map[string]*server{},
		startErr:  map[string]error{},
		prints:    map[string]*result.Fingerprint{},
		tentative: map[string]journal.Line{},
		settled:   map[string]bool{},
		entries:   map[string][]result.Entry{},
		said:      map[string]bool{},
		lost:      map[string]error{},
		used:      map[string]bool{},
	}
	digests := map[string]string{}
	var order []string
	for i := range cfg.Plan.Cells {
		c := &cfg.Plan.Cells[i]
		r.cells[c.Canonical] = c
		digests[c.Canonical] = c.Digest
		order = append(order, c.Name)
	}
	r.log(journal.Line{Type: journal.Run, Version: info.Version, Scenario: info.Scenario, Cells: digests})
	r.emit(Event{Type: EventRunStarted, Data: &Started{Dir: cfg.Store.Dir, Cells: order}})

	r.sweep()
	tasks := cfg.Plan.Tasks
	if cfg.ServersOnly {
		tasks = serverTasks(tasks)
	}
	if err := r.beginSinks(); err != nil {
		r.problem(err)
		tasks = nil
	} else if !cfg.ServersOnly {
		tasks = without(tasks, r.reuse())
	}
	walk(cfg.Control.soft, tasks, max(1, cfg.Parallelism), r.task, r.taskEnded)
	r.cleanNodes()
	return r.end()
}

// task runs one task on the context that its kind has.
func (r *run) task(t *plan.Task) error {
	if r.isSettled(t) {
		return nil
	}
	r.emit(Event{Type: EventTaskStarted, Address: r.address(t), Kind: string(t.Kind)})
	started := time.Now()
	err := r.exec(t)
	r.lose(err)
	err = redacted(err, r.Plan.Secrets)
	e := Event{Type: EventTaskEnded, Address: r.address(t), Kind: string(t.Kind), Outcome: Succeeded, Seconds: time.Since(started).Seconds()}
	if err != nil {
		e.Outcome, e.Message = Failed, err.Error()
		if errors.Is(err, errInterrupted) {
			e.Outcome = Interrupted
		}
	}
	r.emit(e)
	return err
}

// isSettled reports whether the task is a cell's that has its results already.
func (r *run) isSettled(t *plan.Task) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.Kind == plan.TaskCell && r.settled[t.Subject]
}

// address is a task's id, and of a cell the address that all its events carry.
func (r *run) address(t *plan.Task) string {
	if c := r.cells[t.Subject]; t.Kind == plan.TaskCell && c != nil {
		return c.Name
	}
	return t.ID
}

func (r *run) exec(t *plan.Task) error {
	ctx := r.Control.soft
	if t.Final {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(r.Control.cleanup, taskCleanup)
		defer cancel()
	}
	switch t.Kind {
	case plan.TaskCheck:
		if err := r.gone(r.server(t.Subject)); err != nil {
			return err
		}
		return r.checkServer(ctx, t)
	case plan.TaskDataset:
		return r.checkDataset(ctx, t)
	case plan.TaskStart:
		return r.start(ctx, t)
	case plan.TaskCell:
		return r.cell(r.cells[t.Subject])
	case plan.TaskStop:
		return r.stop(ctx, t)
	case plan.TaskGenerator:
		return r.startGenerator(ctx)
	case plan.TaskGeneratorStop:
		return r.stopGenerator(ctx)
	case plan.TaskSink:
		return r.endSink(ctx, t)
	}
	return fmt.Errorf("task %s is of kind %q, which this runner does not know", t.ID, t.Kind)
}

// taskEnded sees every task that will not run any more, in the walk's goroutine. Cells
// that never ran get their entry here.
func (r *run) taskEnded(t *plan.Task, res TaskResult) {
	if c := r.cells[t.Subject]; t.Kind == plan.TaskCell {
		// Its server did not come up, so nothing says that it is another one.
		if line, ok := r.waiting(c); ok && res.Outcome != Succeeded {
			r.takeEarly(c, line)
		}
		if r.isSettled(t) {
			return
		}
	}
	if res.Outcome == Skipped || res.Outcome == Interrupted {
		r.emit(Event{Type: EventTaskEnded, Address: r.address(t), Kind: string(t.Kind), Outcome: res.Outcome, Message: res.Cause})
	}
	if t.Kind == plan.TaskStart && res.Outcome == Failed {
		r.mu.Lock()
		r.startErr[t.Session] = res.Err
		r.mu.Unlock()
	}
	if r.ServersOnly && (t.Kind == plan.TaskStart || t.Kind == plan.TaskCheck) && res.Outcome == Failed {
		r.mu.Lock()
		r.problems.run = append(r.problems.run, res.Err.Error())
		r.mu.Unlock()
	}
	if t.Kind != plan.TaskCell || res.Outcome == Succeeded {
		return
	}
	c := r.cells[t.Subject]
	r.mu.Lock()
	_, ran := r.entries[c.Canonical]
	startErr := r.startErr[c.Session]
	r.mu.Unlock()
	switch {
	case ran:
	case res.Outcome == Failed:
		r.endCell(&result.Cell{Plan: c, Server: r.server(c.Server), Entries: result.FailedEntries(c, r.server(c.Server), res.Err.Error())}, "failed", res.Err.Error())
	case startErr != nil && !errors.Is(startErr, errInterrupted):
		r.endCell(&result.Cell{Plan: c, Server: r.server(c.Server), Entries: result.FailedEntries(c, r.server(c.Server), startErr.Error())}, "failed", startErr.Error())
	default:
		r.endCell(&result.Cell{Plan: c, Server: r.server(c.Server), Entries: result.SkippedEntries(c, r.server(c.Server), res.Cause)}, string(res.Outcome), res.Cause)
	}
}

func (r *run) server(address string) *plan.Server {
	i := slices.IndexFunc(r.Plan.Servers, func(s plan.Server) bool { return s.Address == address })
	return &r.Plan.Servers[i]
}

// log appends to the journal. A journal that can't be written makes the run unsafe to
// resume, which is a problem of the run, not of the cell at hand.
func (r *run) log(l journal.Line) {
	if err := r.Journal.Append(l); err != nil {
		r.problem(err)
	}
}

func (r *run) problem(err error) {
	r.mu.Lock()
	r.problems.run = append(r.problems.run, err.Error())
	r.mu.Unlock()
	r.emit(Event{Type: EventLog, Level: "error", Message: err.Error()})
}

func (r *run) emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	e.Message = Redacted(e.Message, r.Plan.Secrets)
	e.Seq, e.Time, e.Run = r.seq, time.Now().UTC(), r.info.ID
	r.Observe(e)
}
