package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// sequence is a request inside the engine.
type sequence struct {
	prompt int64 // tokens that must be prefilled
	kv     int64 // tokens of cache it holds
	tokens int64 // that it makes
	made   int64
	ready  chan struct{} // one send a token
	ctx    context.Context
}

// batch is an engine with continuous batching: every step takes in waiting sequences
// while there is room, prefills them, and makes one token for every running one.
type batch struct {
	cfg *Config

	mu      sync.Mutex
	waiting []*sequence
	running []*sequence
	kv      int64
	wake    chan struct{}
	rand    *rand.Rand
	slow    func() float64
}

func newBatch(cfg *Config, slow func() float64) *batch {
	return &batch{cfg: cfg, wake: make(chan struct{}, 1), rand: rand.New(rand.NewPCG(uint64(cfg.Seed), 1)), slow: slow}
}

// submit queues a sequence.
func (b *batch) submit(s *sequence) {
	b.mu.Lock()
	b.waiting = append(b.waiting, s)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// load is how many sequences run and wait, and the share of the cache in use.
func (b *batch) load() (running, waiting int, kv float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.running), len(b.waiting), float64(b.kv) / float64(b.cfg.KVTokens)
}

// run steps until ctx ends. Steps follow a schedule of their own: a late timer does not
// slow the engine down.
func (b *batch) run(ctx context.Context) {
	next := time.Now()
	for {
		took := b.begin()
		if took == 0 {
			select {
			case <-ctx.Done():
				return
			case <-b.wake:
			}
			next = time.Now()
			continue
		}
		next = next.Add(took)
		if !sleepUntil(ctx, next) {
			return
		}
		b.finish()
	}
}

// begin takes in what fits and returns how long the step takes, 0 where there is nothing to do.
func (b *batch) begin() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	prefill := int64(0)
	for len(b.waiting) > 0 && int64(len(b.running)) < b.cfg.MaxNumSeqs {
		s := b.waiting[0]
		if len(b.running) > 0 && b.kv+s.kv > b.cfg.KVTokens {
			break
		}
		b.waiting = b.waiting[1:]
		b.running = append(b.running, s)
		b.kv += s.kv
		prefill += s.prompt
	}
	if len(b.running) == 0 {
		return 0
	}
	took := float64(b.cfg.DecodeStep) + float64(len(b.running))*float64(b.cfg.DecodeStepPerSeq) + float64(prefill)/b.cfg.PrefillTokensPerS*1e9
	took *= jitter(b.rand, b.cfg.Jitter) * b.slow()
	return max(time.Microsecond, time.Duration(took))
}

// drop forgets sequences whose client has gone.
func (b *batch) drop() {
	gone := func(list []*sequence, held bool) []*sequence {
		kept := list[:0]
		for _, s := range list {
			if s.ctx.Err() == nil {
				kept = append(kept, s)
			} else if held {
				b.kv -= s.kv
			}
		}
		return kept
	}
	b.waiting, b.running = gone(b.waiting, false), gone(b.running, true)
}

// finish hands every running sequence its token.
func (b *batch) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.running[:0]
	for _, s := range b.running {
		s.made++
		s.ready <- struct{}{} // has room for all
		if s.made < s.tokens {
			kept = append(kept, s)
		} else {
			b.kv -= s.kv
		}
	}
	b.running = kept
}

// jitter is a factor around 1, never below a tenth.
func jitter(r *rand.Rand, std float64) float64 {
	if std == 0 {
		return 1
	}
	return max(0.1, 1+std*r.NormFloat64())
}

// sleepUntil sleeps; false where ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
