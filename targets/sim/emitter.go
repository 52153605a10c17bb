package sim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// emitter sends the tokens of all streams that answer on the fixed schedule: one goroutine
// and one wheel of turns instead of a goroutine and a timer a stream, and frames go to the
// socket by a write right behind their stamp. So the yardstick is not what a measurement of
// thousands of streams is limited by.
type emitter struct {
	started time.Time
	wake    chan struct{} // it has something to do again

	mu    sync.Mutex
	added []*emission
	ended bool

	// Of its goroutine alone.
	wheel  [wheelTurns][]*emission
	turn   int64 // that is next
	active int
}

const (
	turnTime   = 100 * time.Microsecond
	wheelTurns = 4096 // later ones stay in their place until it comes round
)

// emission is a stream being sent. The handler of its request waits for done.
type emission struct {
	g    *generation
	raw  syscall.RawConn
	at   time.Time // of the next token
	next int64
	out  []byte    // framed, not written yet
	held time.Time // not before: the socket had no room
	done chan bool
	gone atomic.Bool // nobody reads it

	write func(fd uintptr) bool // made once: a write allocates nothing
	n     int
	err   error
}

type connKey struct{}

// ConnContext is for http.Server: handlers find the connection of their request, and the
// fixed schedule can write to it without net/http in between.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func newEmitter(started time.Time) *emitter {
	return &emitter{started: started, wake: make(chan struct{}, 1)}
}

// stream sends g's answer and reports whether all of it was; ok is false where its
// connection is not one that can be written to like this.
func (e *emitter) stream(g *generation) (sent, ok bool) {
	conn, _ := g.r.Context().Value(connKey{}).(*net.TCPConn)
	flusher, can := g.w.(http.Flusher)
	if conn == nil || !can || g.r.ProtoMajor != 1 || g.r.ProtoMinor != 1 {
		return false, false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, false
	}
	s := &emission{g: g, raw: raw, at: g.due(0, g.accepted), done: make(chan bool, 1)}
	s.write = func(fd uintptr) bool {
		s.n, s.err = syscall.Write(int(fd), s.out)
		return true
	}
	// The head goes through net/http, which also ends the chunks when the handler returns;
	// in between nothing is left in its buffers.
	g.head()
	flusher.Flush()
	e.mu.Lock()
	if e.ended {
		e.mu.Unlock()
		return false, true
	}
	e.added = append(e.added, s)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	select {
	case sent = <-s.done:
	case <-g.r.Context().Done():
		s.gone.Store(true)
		sent = <-s.done
	}
	return sent, true
}

// run turns the wheel until ctx ends.
func (e *emitter) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		e.take(false)
		now := int64(time.Since(e.started) / turnTime)
		if e.active == 0 {
			e.turn = max(e.turn, now)
		}
		e.skip()
		if e.turn <= now && e.active > 0 {
			e.emit()
			e.turn++
			continue
		}
		if e.active == 0 {
			timer.Stop()
		} else {
			timer.Reset(time.Duration(e.turn)*turnTime - time.Since(e.started))
		}
		select {
		case <-timer.C:
		case <-e.wake:
		case <-ctx.Done():
		}
	}
	e.take(true)
	for i := range e.wheel {
		for _, s := range e.wheel[i] {
			s.done <- false
		}
	}
}

// skip goes on to the next turn that has something.
func (e *emitter) skip() {
	for range wheelTurns {
		if len(e.wheel[e.turn%wheelTurns]) > 0 || e.active == 0 {
			return
		}
		e.turn++
	}
}

// take puts new streams on the wheel.
func (e *emitter) take(last bool) {
	e.mu.Lock()
	added := e.added
	e.added, e.ended = nil, last
	e.mu.Unlock()
	for _, s := range added {
		e.active++
		// The wheel may have been turned on, past empty turns that this one is due in.
		e.turn = min(e.turn, max(e.due(s), int64(time.Since(e.started)/turnTime)))
	}
	for _, s := range added {
		e.put(s)
	}
}

// due is the turn in which a stream's next token leaves.
func (e *emitter) due(s *emission) int64 {
	at := s.at
	if s.held.After(at) {
		at = s.held
	}
	return int64((at.Sub(e.started) + turnTime - 1) / turnTime)
}

func (e *emitter) put(s *emission) {
	i := max(e.due(s), e.turn) % wheelTurns
	e.wheel[i] = append(e.wheel[i], s)
}

// emit sends what is due in this turn.
func (e *emitter) emit() {
	i := e.turn % wheelTurns
	due := e.wheel[i]
	e.wheel[i] = nil
	for _, s := range due {
		ended := false
		for !ended && e.due(s) <= e.turn {
			ended = s.step()
		}
		if ended {
			e.active--
		} else {
			e.put(s) // perhaps here again, for a later round
		}
	}
}

// step sends a stream's next token and reports whether the stream has ended.
func (s *emission) step() (ended bool) {
	g := s.g
	if s.gone.Load() {
		s.done <- false
		return true
	}
	if len(s.out) == 0 {
		s.out = g.frames(s.out, s.next)
		g.events = append(g.events, time.Now().UnixNano())
		if s.next++; s.next < g.tokens {
			s.at = g.due(s.next, s.at)
		} else {
			s.out = g.lastFrames(s.out)
		}
	}
	if err := s.raw.Write(s.write); err != nil {
		s.err, s.n = err, 0
	}
	switch {
	case s.err == nil:
		s.out = s.out[:copy(s.out, s.out[s.n:])]
	case !errors.Is(s.err, syscall.EAGAIN) && !errors.Is(s.err, syscall.EINTR):
		s.done <- false
		return true
	}
	if len(s.out) > 0 {
		s.held = time.Now().Add(time.Millisecond)
		return false
	}
	if s.next == g.tokens {
		s.done <- true
		return true
	}
	return false
}
