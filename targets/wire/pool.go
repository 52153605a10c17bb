package wire

import (
	"context"
	"slices"
	"sync"
)

// conn is a connection with what its set-up came to.
type conn struct {
	link
	setUp     int64 // ns; 0 from its second request on
	roundTrip int64 // the kernel's, ns; 0 unknown
	waited    bool  // it lay idle before this request
}

// pool keeps the connections that are open and not in use, and opens spare ones before
// they are needed.
type pool struct {
	client *Client
	cancel context.CancelFunc // of the spares being opened
	ctx    context.Context
	filled sync.WaitGroup

	mu      sync.Mutex
	idle    []*conn // oldest first: the one that a server which takes one at a time waits for
	inUse   int
	opening int
	broken  bool // a spare could not be opened: none is tried until a request has found the server
}

// Spares in an open loop: a share of those in use, so that they suffice for the arrivals of
// the time that opening one takes.
const (
	leastSpares  = 16
	spareShare   = 4  // one for so many in use
	mostOpenings = 32 // at a time
)

func (p *pool) begin(c *Client) {
	p.client = c
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refill()
}

// take gives an idle connection that is still open, or a new one.
func (p *pool) take(ctx context.Context, deadline int64, fresh bool) (*conn, error) {
	for c := p.oldest(fresh); c != nil; c = p.oldest(fresh) {
		if c.open() {
			c.waited = true
			return c, nil
		}
		p.give(c, false)
	}
	c, err := p.client.dial(ctx, deadline)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.inUse++
		p.broken = false
		p.refill()
	}
	return c, err
}

// oldest takes out the connection that is idle longest, nil where there is none.
func (p *pool) oldest(fresh bool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fresh || len(p.idle) == 0 {
		return nil
	}
	c := p.idle[0]
	p.idle = p.idle[1:]
	p.inUse++
	p.refill()
	return c
}

// give takes a connection back, to be kept or closed.
func (p *pool) give(c *conn, keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse--
	if keep && !c.gone() { // under the lock: bury may have looked for it before
		c.setUp = 0
		p.idle = append(p.idle, c)
		return
	}
	c.close()
	p.refill()
}

// bury takes out an idle connection that has ended. One that had served is replaced: its
// server closes after every answer. One that had not will be when it is missed.
func (p *pool) bury(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, c)
	if i < 0 {
		return // taken just now: the request finds out
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	c.close()
	if c.setUp == 0 {
		p.refill()
	}
}

// want is how many connections there should be.
func (p *pool) want() int {
	n := p.client.Connections
	if p.client.Grow {
		n = max(n, p.inUse+max(leastSpares, p.inUse/spareShare))
	}
	return n
}

// refill begins to open what is missing. The caller has the lock.
func (p *pool) refill() {
	if p.broken || p.ctx.Err() != nil {
		return
	}
	for p.opening < mostOpenings && p.inUse+len(p.idle)+p.opening < p.want() {
		p.opening++
		p.filled.Go(p.open)
	}
}

// open opens spares until there are enough.
func (p *pool) open() {
	for {
		c, err := p.client.dial(p.ctx, 0)
		p.mu.Lock()
		if err != nil {
			// The request that needs a connection will say what is wrong.
			p.broken = true
		} else {
			p.idle = append(p.idle, c)
		}
		if p.broken || p.ctx.Err() != nil || p.inUse+len(p.idle)+p.opening > p.want() {
			p.opening--
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// close closes what is idle and being opened.
func (p *pool) close() {
	p.mu.Lock()
	p.cancel() // under the lock: refill begins nothing after it
	p.mu.Unlock()
	p.filled.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.close()
	}
	p.idle, p.broken = nil, true
}
