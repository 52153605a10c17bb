package runner

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// The ways in which a cell comes to the declared state of its server's prefix cache.
const (
	cacheReset   = "reset"   // the engine's call emptied it
	cacheSalt    = "salt"    // the cell's prompts begin like none before
	cacheRestart = "restart" // the server has been started anew
	cacheOff     = "off"     // the server keeps no prefixes
	cachePrimed  = "primed"  // the first turns were sent before
	cacheNone    = "none"    // nothing was done
)

// What may tell the hits of a cell (result.Entry.CacheCheck).
const (
	checkUsage   = "usage"
	checkCounter = "counter"
)

// resetWait is how long a server may refuse to empty its cache: requests that were cut a
// moment ago may still hold parts of it.
const resetWait = 3 * time.Second

// prefixCache is the state of a server's prefix cache for a cell.
type prefixCache struct {
	method string
	why    string      // the declared state could not be had
	source load.Source // of the cell's requests
}

// setCache brings the server's prefix cache into the state that the cell declares, and
// opens its dataset in the way that this needs.
func (r *run) setCache(ctx context.Context, srv *server, c *plan.Cell, open func(salted bool) (load.Source, error)) (*prefixCache, error) {
	p := &prefixCache{method: cacheNone}
	switch {
	case c.Cache == plan.CachePrimed:
		p.method = cachePrimed
	case c.Cache == plan.CacheCold && srv.plan.PrefixCacheOff():
		p.method = cacheOff
	case c.Cache == plan.CacheCold:
		p.method = r.coldMethod(srv, c)
	}
	var err error
	if p.source, err = open(p.method == cacheSalt); err != nil {
		return nil, err
	}
	// Only now: a dataset that asks the server about tokens may fill its cache.
	switch p.method {
	case cacheReset:
		if !r.resetCache(ctx, srv) {
			return r.setCache(ctx, srv, c, open)
		}
	case cacheNone:
		if c.Cache == plan.CacheCold {
			p.why = "the server was there before this run, its engine has no call that empties its prefix cache, and the prompts were to stay as they are: it may have known them; set cache = \"as_is\""
		}
	case cachePrimed:
		if err := r.prime(ctx, srv, c, p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// coldMethod is how a server's cache is made cold: the first of what is possible.
func (r *run) coldMethod(srv *server, c *plan.Cell) string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	// A reset would empty it for the cells that load beside this one too.
	case srv.plan.CacheReset != "" && srv.resets != resetFails && r.Parallelism <= 1:
		return cacheReset
	case c.Saltable():
		return cacheSalt
	case !srv.theirs():
		return cacheRestart
	}
	return cacheNone
}

// needsFresh reports whether the cell wants a cold cache and only a start makes it cold.
func (r *run) needsFresh(srv *server, c *plan.Cell) bool {
	return c.NeedsFresh(srv.plan) && (srv.plan.CacheReset == "" || srv.resets != resetWorks || r.Parallelism > 1)
}

// resetState is what is known of the call that empties a server's prefix cache.
type resetState int

const (
	resetUntried resetState = iota
	resetWorks
	resetFails
)

// resetCache empties the server's prefix cache and notes whether that can be done.
func (r *run) resetCache(ctx context.Context, srv *server) (ok bool) {
	var err error
	for deadline := time.Now().Add(resetWait); ; {
		for _, ep := range srv.endpoints {
			if err = srv.framework.ResetCache(ctx, probe, ep); err != nil {
				break
			}
		}
		if err == nil || errors.As(err, new(*targets.Refused)) || time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		time.Sleep(readyPoll)
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case err == nil:
		srv.resets = resetWorks
		return true
	case ctx.Err() != nil:
		return true // nothing is measured any more
	}
	if srv.resets != resetFails {
		srv.resets = resetFails
		r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("%s: its prefix cache can't be reset (%v): the prompts of each cell begin with a salt instead", srv.plan.Address, err)})
	}
	return false
}

// prime sends the first turn of each conversation once, for one token, and forgets what
// comes of it.
func (r *run) prime(ctx context.Context, srv *server, c *plan.Cell, p *prefixCache) error {
	n := c.Primes()
	if s, ok := p.source.(interface{ Conversations() int64 }); ok && s.Conversations() >= 0 && (n < 0 || s.Conversations() < n) {
		n = s.Conversations()
	}
	if n <= 0 {
		return nil
	}
	one := *c
	one.Request.Output, one.Request.MinTokens, one.Request.MaxTokens = "natural", nil, new(int64(1))
	r.emit(Event{Type: EventLog, Level: "info", Message: fmt.Sprintf("%s: priming the prefix cache with the first turns of %d conversations", c.Name, n)})
	failed := &failures{}
	var err error
	for _, ep := range srv.endpoints { // each replica with all, as any may get a conversation
		if err = r.primeReplica(ctx, srv, &one, n, ep, failed); err != nil {
			break
		}
	}
	if failed.count > 0 {
		r.emit(Event{Type: EventLog, Level: "warn", Message: fmt.Sprintf("%s: %d requests that prime the prefix cache failed, the first with: %s", c.Name, failed.count, failed.first)})
	}
	return err
}

// primeReplica sends the first turns of n conversations to one replica.
func (r *run) primeReplica(ctx context.Context, srv *server, c *plan.Cell, n int64, ep targets.Endpoint, failed *failures) error {
	source, err := r.Tools.Source(ctx, r.dataset(c.Dataset), c, srv.plan, ep, false)
	if err != nil {
		return err
	}
	doer, err := r.Tools.Doer(ep, c, r.Clock)
	if err != nil {
		return err
	}
	defer doer.Close()
	_, err = load.Run(ctx, load.Config{
		Phases:  []plan.Phase{{Name: "prime", Conversations: n, FirstTurnOnly: true, Concurrency: &plan.Curve{From: primers(c), To: primers(c)}, Drain: time.Hour}},
		Request: c.Request, Seed: c.Seed, Source: source, Doer: doer, Recorder: failed, Clock: r.Clock,
		Stop: r.Control.soft.Done(), IDPrefix: fmt.Sprintf("%s-%d-prime-", r.info.ID, c.Number),
	})
	return err
}

// primers is how many requests prime at a time: as many as the cell has at most.
func primers(c *plan.Cell) float64 {
	most := 1.0
	for _, ph := range c.Phases {
		switch {
		case ph.Concurrency != nil:
			most = max(most, math.Round(max(ph.Concurrency.From, ph.Concurrency.To)))
		case ph.OpenLoop():
			most = max(most, 8)
		}
	}
	return most
}

// failures counts the requests that failed.
type failures struct {
	count int
	first string
}

// Record looks at one.
func (f *failures) Record(rec *record.Record) {
	if rec.Status == record.OK {
		return
	}
	if f.count++; f.count == 1 {
		f.first = fmt.Sprintf("%s %s", rec.Status, rec.Error)
	}
}

// hitTokens are the prompt tokens that counters of a server say it has found in its prefix
// cache. Of an engine without a call that empties it, it is not known how it counts.
func (srv *server) hitTokens(says map[string]float64) (tokens float64, ok bool) {
	tokens, ok = says["prefix_cache_hit_tokens"]
	return tokens, ok && srv.plan.CacheReset != ""
}

// probe is the client for questions beside the load.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

// cacheOutcome is what was done about the cache and what the counters say of it.
// before and after are its counters as the cell began and ended.
func (r *run) cacheOutcome(srv *server, c *plan.Cell, p *prefixCache, before, after map[string]float64, records []record.Record) *load.Cache {
	out := &load.Cache{Method: p.method, Why: p.why}
	if c.Cache == plan.CacheAsIs {
		return out
	}
	first := firstPrompts(records, p.source)
	share := first.share(c.Cache)
	out.Check = checkUsage
	if then, had := srv.hitTokens(before); share == nil && had && r.Parallelism <= 1 {
		if now, has := srv.hitTokens(after); has {
			share, out.Check = first.shareOf(c.Cache, now-then), checkCounter
		}
	}
	out.HitShare = share
	if share == nil {
		why, short := first.untold(c.Cache)
		out.Check = "not verified: " + why
		if c.CacheAsked || !short {
			r.sayOnce("info", fmt.Sprintf("benchmark.%s on %s: cache = %q is not verified: %s", c.Address.Benchmark, c.Server, c.Cache, why))
		}
	}
	if share == nil || out.Why != "" {
		return out
	}
	by := map[string]string{checkUsage: "usage", checkCounter: "the server's counter of hits (it counts what others send too)"}[out.Check]
	switch {
	case c.Cache == plan.CacheCold && *share > coldLimit:
		out.Why = fmt.Sprintf("%.0f %% of the tokens of conversations' first prompts came from the prefix cache, beyond what these prompts share, by %s: it was not cold (cache_method %s)", 100**share, by, p.method)
	case c.Cache == plan.CachePrimed && *share < primedLimit:
		out.Why = fmt.Sprintf("only %.0f %% of the tokens of conversations' first prompts came from the prefix cache, by %s: it does not hold what was primed, or more conversations began than there were to prime", 100**share, by)
	}
	return out
}
