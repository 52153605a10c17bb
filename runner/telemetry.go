package runner

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/runner/store"
	"sparkrun/scenario/plan"
	"sparkrun/targets/telemetry"
)

// observer samples the nodes and the server of a cell while it is measured.
type observer struct {
	run     *run
	srv     *server
	cell    *plan.Cell
	samples *store.Samples
	begun   int64
	cancel  context.CancelFunc
	asking  sync.WaitGroup
	nodes   []func(context.Context) error // stop sampling
	once    sync.Once
}

// observe begins to sample. What can't be sampled is said once and leaves its numbers out.
func (r *run) observe(ctx context.Context, srv *server, c *plan.Cell) (*observer, error) {
	samples, err := r.Store.CreateSamples(r.info, c)
	if err != nil {
		return nil, &Error{MeasureRowsLost, fmt.Errorf("run %s: %w", c.Name, err)}
	}
	o := &observer{run: r, srv: srv, cell: c, samples: samples, begun: r.Clock.Now()}
	ctx, o.cancel = context.WithCancel(ctx)
	if c.Telemetry.Has(plan.SourceServer) {
		o.askServer(ctx)
	}
	if c.Telemetry.Has(plan.SourceGPU) || c.Telemetry.Has(plan.SourceNode) {
		o.sampleNodes(ctx)
	}
	return o, nil
}

// askServer samples each replica of the server whose engine shows numbers.
func (o *observer) askServer(ctx context.Context) {
	for i, ep := range o.srv.endpoints {
		ask := func(ctx context.Context) (map[string]float64, bool) {
			return o.srv.framework.Counters(ctx, probe, ep)
		}
		if _, ok := ask(ctx); !ok {
			continue
		}
		o.asking.Go(func() {
			telemetry.Server(ctx, telemetry.ServerOptions{
				Name: o.srv.replicaName(i), Interval: o.cell.Telemetry.Interval, Ask: ask, Clock: o.run.Clock, Take: o.samples.Take,
			})
		})
	}
}

func (srv *server) replicaName(i int) string {
	if len(srv.endpoints) < 2 {
		return srv.plan.Address
	}
	return fmt.Sprintf("%s#%d", srv.plan.Address, i)
}

func (o *observer) sampleNodes(ctx context.Context) {
	r := o.run
	for _, name := range o.srv.sampledNodes() {
		node, err := r.Tools.Node(name)
		if err == nil {
			var stop func(context.Context) error
			stop, err = telemetry.Node(ctx, node, telemetry.NodeOptions{
				Name: name, Interval: o.cell.Telemetry.Interval,
				GPUs: o.cell.Telemetry.Has(plan.SourceGPU), System: o.cell.Telemetry.Has(plan.SourceNode),
				Mark: r.mark("telemetry of " + name), Clock: r.Clock, Take: o.samples.Take,
			})
			o.nodes = append(o.nodes, stop)
		}
		if err != nil {
			r.sayOnce("warn", fmt.Sprintf("no telemetry: %v", err))
		}
	}
}

// sampledNodes are the nodes that a server runs on; none where nobody says where that is.
func (srv *server) sampledNodes() []string {
	names := slices.Compact(slices.Sorted(slices.Values(srv.plan.Nodes)))
	if srv.plan.URL == "" || !slices.Equal(names, []string{"local"}) {
		return names
	}
	if u, err := url.Parse(srv.plan.URL); err == nil {
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
			return names
		}
	}
	return nil
}

// over is a load of which it is told what was observed in each of its phases.
func (o *observer) over(put putLoad) putLoad {
	return func(ctx context.Context, cfg load.Config) (load.Outcome, error) {
		out, err := put(ctx, cfg)
		samples := o.samples.All()
		price, priced := o.run.price(o.srv)
		for i := range out.Phases {
			p := &out.Phases[i]
			p.Observed, p.Throttled = result.Observe(samples, p.Start, p.End)
			if priced {
				p.Observed[result.PricePerHour] = price
			}
		}
		return out, err
	}
}

// price is what an hour of a server's nodes costs; false where one has no price.
func (r *run) price(srv *server) (sum float64, ok bool) {
	names := slices.Compact(slices.Sorted(slices.Values(srv.plan.Nodes)))
	for _, name := range names {
		i := slices.IndexFunc(r.Plan.Nodes, func(n plan.Node) bool { return n.Name == name })
		if i < 0 || !r.Plan.Nodes[i].Values.Has("price_per_hour") {
			return 0, false
		}
		sum += r.Plan.Nodes[i].Values.Float("price_per_hour")
	}
	return sum, len(names) > 0
}

// stop ends the sampling. It is idempotent.
func (o *observer) stop() {
	o.once.Do(func() {
		o.cancel()
		errs := make([]error, len(o.nodes))
		for i, stop := range o.nodes {
			if stop != nil {
				o.asking.Go(func() { errs[i] = stop(o.run.Control.cleanup) })
			}
		}
		o.asking.Wait()
		if err := errors.Join(errs...); err != nil {
			o.run.sayOnce("warn", err.Error())
		}
	})
}

const (
	// restTime is how long a server's counters may take to be at rest, before a cell and after
	// it: requests that were cut end a moment later, and engines count in steps.
	restTime = 2 * time.Second
	restPoll = 100 * time.Millisecond
	// countShare is how far the counts of the server and of this client may differ.
	countShare = 0.01
)

// counters are those of all replicas together, nil where one shows none.
func (srv *server) counters(ctx context.Context) map[string]float64 {
	sums := map[string]float64{}
	for _, ep := range srv.endpoints {
		says, ok := srv.framework.Counters(ctx, probe, ep)
		if !ok {
			return nil
		}
		for name, v := range says {
			sums[name] += v
		}
	}
	return sums
}

// countersWhen reads the server's counters until they are as they should be, for restTime at
// most; once where other cells load the server too. nil where the cell needs none.
func (r *run) countersWhen(ctx context.Context, srv *server, c *plan.Cell, fine func(map[string]float64) bool) map[string]float64 {
	if !c.Telemetry.Has(plan.SourceServer) && c.Cache == plan.CacheAsIs {
		return nil
	}
	for end := time.Now().Add(restTime); ; {
		says := srv.counters(ctx)
		if says == nil || fine(says) || r.Parallelism > 1 || time.Now().After(end) {
			return says
		}
		select {
		case <-ctx.Done():
			return says
		case <-time.After(restPoll):
		}
	}
}

// atRest reports whether a server has nothing to do.
func atRest(says map[string]float64) bool {
	return says["requests_running"]+says["requests_waiting"] == 0
}

// sent is what a client can tell of a cell's requests.
type sent struct {
	requests float64 // with those that were sent again
	// The output tokens of all: at least those of whole answers, at most what was asked for
	// of the others too; +Inf where that had no limit.
	least, most float64
}

func sentOf(records []record.Record) sent {
	var s sent
	for i := range records {
		r := &records[i]
		if r.Sent == 0 {
			continue
		}
		s.requests += float64(1 + r.Retries + r.Reconnects)
		asked := math.Inf(1)
		if r.AskedMax >= 0 {
			asked = float64(r.AskedMax)
		}
		if again := float64(r.Retries + r.Reconnects); again > 0 {
			s.most += again * asked
		}
		if r.Status == record.OK && r.OutputTokens >= 0 {
			s.least += float64(r.OutputTokens)
			s.most += float64(r.OutputTokens)
		} else {
			s.most += asked
		}
	}
	return s
}

// contradicts says in what way a server's counters are not what was sent and came.
func (s sent) contradicts(address string, before, after map[string]float64) load.Counted {
	var out load.Counted
	gone := func(name string) (float64, bool) {
		a, had := before[name]
		b, has := after[name]
		return b - a, had && has
	}
	if requests, ok := gone("requests_finished"); ok && requests > s.requests*(1+countShare) {
		out.Foreign = fmt.Sprintf("%s counted %.0f requests while %.0f were sent to it: others used it", address, requests, s.requests)
		return out // their tokens are in the counters too
	}
	tokens, ok := gone("generation_tokens")
	if ok && tokens < s.least*(1-countShare) || ok && tokens > s.most*(1+countShare) {
		out.Mismatch = fmt.Sprintf("%s counted %.0f output tokens, and the answers had %.0f", address, tokens, s.least)
		if s.most > s.least {
			out.Mismatch += fmt.Sprintf(" (%.0f at most, with those that were cut)", s.most)
		}
	}
	return out
}

// counted holds the server's counters against what was sent and came. after are the counters
// once the cell had ended.
func (o *observer) counted(before, after map[string]float64, ours sent, out load.Outcome) *load.Counted {
	if !o.cell.Telemetry.Has(plan.SourceServer) || before == nil {
		return nil
	}
	switch times, at := restarts(o.samples.All()); {
	case times == 1:
		return &load.Counted{Restarted: fmt.Sprintf("the counters of %s began anew %.1f s into the cell", o.srv.plan.Address, float64(at-o.begun)/1e9)}
	case times > 1:
		o.run.sayOnce("warn", fmt.Sprintf("the counters of %s go back and forth: several servers seem to answer at its url, so that none of them is held against what was sent", o.srv.plan.Address))
		return nil
	}
	lost := slices.ContainsFunc(out.Workers, func(w load.Worker) bool { return w.Lost != "" })
	if after == nil || o.run.Parallelism > 1 || lost {
		return nil
	}
	said := ours.contradicts(o.srv.plan.Address, before, after)
	return &said
}

// restarts counts how often the counters of a server went back, and when it was first.
func restarts(samples []record.Sample) (times int, first int64) {
	type key struct{ from, name string }
	last := map[key]float64{}
	var before int64
	for _, s := range samples {
		if s.Name != "prompt_tokens" && s.Name != "generation_tokens" && s.Name != "requests_finished" {
			continue
		}
		k := key{s.From, s.Name}
		if v, ok := last[k]; ok && s.Value < v && s.At != before {
			times, before = times+1, s.At
			if times == 1 {
				first = s.At
			}
		}
		last[k] = s.Value
	}
	return times, first
}
