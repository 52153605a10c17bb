package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"sparkrun/runner/generator"
	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// fleets are the workers of the run's generator. A cell has a fleet to itself; one that has
// lost a worker is not used again.
type fleets struct {
	mu      sync.Mutex
	idle    []*generator.Fleet
	started int
	log     *os.File

	failures int // starts in a row that have failed, guarded by the run's mu
}

// startGenerator starts the workers, before any server: where they can't be started there
// is nothing to start servers for.
func (r *run) startGenerator(ctx context.Context) error {
	f, err := r.takeFleet(ctx)
	if err != nil {
		if !errors.Is(err, errInterrupted) {
			r.problem(err)
		}
		return err
	}
	r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("the load comes from %s", workers(f.Workers()))})
	return r.giveFleet(f)
}

func workers(n int) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}

// takeFleet gives a cell a whole fleet, a new one where none is idle.
func (r *run) takeFleet(ctx context.Context) (*generator.Fleet, error) {
	r.fleets.mu.Lock()
	n := len(r.fleets.idle)
	if n > 0 {
		f := r.fleets.idle[n-1]
		r.fleets.idle = r.fleets.idle[:n-1]
		r.fleets.mu.Unlock()
		why := f.Whole()
		if why == nil {
			return f, nil
		}
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%v: the generator's workers are started again", why)})
		r.cleanedUp("the generator's workers", f.Close(r.Control.cleanup))
		return r.takeFleet(ctx)
	}
	defer r.fleets.mu.Unlock()
	if r.fleets.log == nil {
		log, err := os.OpenFile(r.Store.Path("logs", "generator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, &Error{LaunchGenerator, err}
		}
		r.fleets.log = log
	}
	mark := r.mark(plan.GeneratorAddress)
	if r.fleets.started++; r.fleets.started > 1 {
		mark.Server += fmt.Sprintf("~%d", r.fleets.started)
	}
	f, err := generator.Start(ctx, generator.Options{
		Generator: *r.Plan.Generator, Self: r.Tools.Self, Binary: r.Tools.Worker, Version: r.info.Version, Node: r.Tools.Node, Host: r.Plan.Host,
		Clock: r.Clock, Mark: mark, Log: Redact(r.fleets.log, r.Plan.Secrets),
	})
	if err != nil && ctx.Err() != nil {
		return nil, errInterrupted
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.fleets.failures++
		return nil, &Error{because(err, LaunchGenerator), err}
	}
	r.fleets.failures = 0
	return f, nil
}

// notLoaded ends a cell whose workers could not be started. For want of a node it is skipped,
// as those after it will be.
func (r *run) notLoaded(c *plan.Cell, err error) error {
	r.lose(err)
	if errors.Is(err, targets.ErrUnreachable) {
		if gone := r.gone(r.server(c.Server)); gone != nil {
			r.skip(c, gone.Error())
			return nil
		}
	}
	return err
}

// giveFleet takes a fleet back from a cell.
func (r *run) giveFleet(f *generator.Fleet) error {
	if f.Whole() != nil {
		return f.Close(r.Control.cleanup)
	}
	r.fleets.mu.Lock()
	defer r.fleets.mu.Unlock()
	r.fleets.idle = append(r.fleets.idle, f)
	return nil
}

// stopGenerator ends all workers.
func (r *run) stopGenerator(ctx context.Context) error {
	r.fleets.mu.Lock()
	defer r.fleets.mu.Unlock()
	var errs []error
	for _, f := range r.fleets.idle {
		errs = append(errs, f.Close(ctx))
	}
	r.fleets.idle = nil
	if r.fleets.log != nil {
		errs = append(errs, r.fleets.log.Close())
		r.fleets.log = nil
	}
	err := errors.Join(errs...)
	r.cleanedUp("the generator's workers", err)
	return err
}

// cleanedUp notes what is not verified to be gone.
func (r *run) cleanedUp(what string, err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems.cleanup = append(r.problems.cleanup, what+": "+err.Error())
}

// loader is what puts a cell's load on its server: this process, or a fleet, which is to be
// given back.
func (r *run) loader(ctx context.Context, c *plan.Cell, srv *server) (put putLoad, give func() error, err error) {
	if r.Plan.Generator == nil {
		return load.Run, func() error { return nil }, nil
	}
	f, err := r.takeFleet(ctx)
	if err != nil {
		return nil, nil, err
	}
	target := generator.Target{Cell: c, Framework: srv.plan.Framework, Endpoints: srv.endpoints, Balance: srv.plan.Balance}
	put = func(ctx context.Context, cfg load.Config) (load.Outcome, error) { return f.Run(ctx, cfg, target) }
	return put, func() error { return r.giveFleet(f) }, nil
}

// client is the wire client of a cell, for all replicas of its server.
func (r *run) client(srv *server, c *plan.Cell) (load.Client, error) {
	return load.Balanced(len(srv.endpoints), srv.plan.Balance, load.Share{}, func(replica int) (load.Client, error) {
		return r.Tools.Doer(srv.endpoints[replica], c, r.Clock)
	})
}

// putLoad is load.Run, or does what it does.
type putLoad func(ctx context.Context, cfg load.Config) (load.Outcome, error)

// addWorkers adds those of a step of a search to those of the steps before.
func addWorkers(all, more []load.Worker) []load.Worker {
	for _, w := range more {
		i := slices.IndexFunc(all, func(o load.Worker) bool { return o.Rank == w.Rank })
		if i < 0 {
			all = append(all, w)
			continue
		}
		w.Requests += all[i].Requests
		w.OffsetError = max(w.OffsetError, all[i].OffsetError)
		all[i] = w
	}
	return all
}
