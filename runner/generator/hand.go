package generator

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"sparkrun/runner/load"
)

// How many conversations a worker has asked for and not opened, in how many steps it asks,
// and with how many opened it could begin.
const (
	window = 64
	step   = 16
)

// readyTime is how long a job waits for the conversations that it would like to begin with:
// a source may be slow.
const readyTime = time.Second

// hand are the conversations that are dealt to a worker, in the order of its share.
type hand struct {
	*serving
	w      *working
	opened int
	ready  sync.Once
	slow   *time.Timer
	ended  error // the dataset has no more, or can't be read
	closed chan struct{}
}

// close ends the waiting for conversations that nobody wants any more.
func (h *hand) close() {
	h.slow.Stop()
	close(h.closed)
}

// newHand asks for the first ones.
func newHand(s *serving, w *working) *hand {
	h := &hand{serving: s, w: w, closed: make(chan struct{})}
	_ = s.send(message(kindWant, want{window})) // where it can't be sent, reading ends
	h.slow = time.AfterFunc(readyTime, h.isReady)
	return h
}

// isReady tells the run, once, that this worker could begin.
func (h *hand) isReady() {
	h.ready.Do(func() { _ = h.send(message(kindReady, struct{}{})) })
}

// next waits for conversation i.
func (h *hand) next(i int64) ([]byte, error) {
	if h.ended != nil {
		return nil, h.ended
	}
	if h.opened++; h.opened%step == 0 {
		h.slow.Stop()
		h.isReady()
		_ = h.send(message(kindWant, want{step}))
	}
	var f frame
	select {
	case f = <-h.w.dealt:
	case <-h.closed:
		return nil, load.ErrExhausted
	}
	n, content, err := readNumbers(f, 1)
	switch {
	case err != nil:
		return nil, err
	case n[0] == i:
		return content, nil
	case n[0] != -1:
		return nil, fmt.Errorf("conversation %d came instead of %d", n[0], i)
	}
	h.slow.Stop()
	h.isReady()
	h.ended = load.ErrExhausted
	if len(content) > 0 {
		h.ended = errors.New(string(content))
	}
	return nil, h.ended
}
