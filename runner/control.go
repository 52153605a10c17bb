package runner

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How long things may take after an interrupt. A first interrupt leaves the requests in
// flight this long to end; a second one leaves clean-up this long as a whole.
const (
	interruptDrain = 5 * time.Second
	hurriedCleanup = 10 * time.Second
	taskCleanup    = 10 * time.Minute // one stop or sink, in peace: a stop's own limits are shorter
)

var errInterrupted = errors.New("interrupted")

// Control is how the process stops a run. Its three contexts are described in doc.go.
type Control struct {
	mu      sync.Mutex
	level   int
	soft    context.Context
	hard    context.Context
	cleanup context.Context

	endSoft, endHard, endCleanup context.CancelCauseFunc
}

// NewControl makes the contexts of a run.
func NewControl() *Control {
	c := &Control{}
	c.cleanup, c.endCleanup = context.WithCancelCause(context.Background())
	c.hard, c.endHard = context.WithCancelCause(context.Background())
	c.soft, c.endSoft = context.WithCancelCause(c.hard)
	return c
}

// Interrupt is one Ctrl-C. It returns how many there have been; at the third the process
// should leave at once.
func (c *Control) Interrupt() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.level++
	switch c.level {
	case 1:
		c.endSoft(errInterrupted)
		time.AfterFunc(interruptDrain, func() { c.endHard(errInterrupted) })
	case 2:
		c.endHard(errInterrupted)
		time.AfterFunc(hurriedCleanup, func() { c.endCleanup(errors.New("clean-up took too long after the second interrupt")) })
	}
	return c.level
}

// Interrupted reports whether there has been an interrupt.
func (c *Control) Interrupted() bool { return c.soft.Err() != nil }

// Close frees the contexts once the run has ended.
func (c *Control) Close() {
	c.endHard(nil)
	c.endCleanup(nil)
}
