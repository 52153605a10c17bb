package wire

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// plain is a connection that a goroutine reads: possibly TLS on top, at the bottom the
// socket that stamps.
type plain struct {
	top net.Conn
	*stamped
}

// stamped is a connection that knows when the bytes of its last read arrived. One
// goroutine reads; cut may come from another.
type stamped struct {
	net.Conn
	socket *socket // nil: no kernel stamps
	stamps stamper
	floor  int64 // nothing was left to read at this time
	last   int64 // arrival of what the last read returned
	kernel bool  // the kernel stamped it
	isCut  atomic.Bool
}

func newStamped(c net.Conn, s stamper) *stamped {
	return &stamped{Conn: c, socket: newSocket(c), stamps: s}
}

// Read reads and stamps.
func (s *stamped) Read(b []byte) (int, error) {
	if s.socket == nil {
		n, err := s.Conn.Read(b)
		s.last, s.kernel = s.stamps.clock.Now(), false
		return n, err
	}
	n, wall, before, err := s.socket.read(b, s.stamps.clock)
	now := s.stamps.measure()
	s.last, s.kernel = s.stamps.convert(wall, s.floor, now)
	if n < len(b) {
		s.floor = before
	}
	return n, err
}

// cut ends reads and writes, now and later.
func (s *stamped) cut() {
	s.isCut.Store(true)
	_ = s.SetDeadline(time.Unix(1, 0))
}

// until sets when the next read ends at the latest, 0 for never. After cut it is cut's.
func (s *stamped) until(at int64) {
	_ = s.SetReadDeadline(s.time(at))
	if s.isCut.Load() {
		s.cut()
	}
}

// time is a clock time as deadlines have it; 0 is none.
func (s *stamped) time(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return s.stamps.clock.Epoch.Add(time.Duration(at))
}

func (p *plain) open() bool { return p.socket == nil || p.socket.quiet() }

func (p *plain) gone() bool { return false }

func (p *plain) close() { p.top.Close() }

var plainBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func (p *plain) exchange(ctx context.Context, x *exchange) {
	stop := context.AfterFunc(ctx, p.cut)
	defer func() {
		if !stop() {
			x.answer.closes = true // its deadline is in the past, or will be
		}
	}()
	clock := p.stamps.clock
	if !sleepUntil(ctx, clock, x.at) {
		x.stop(os.ErrDeadlineExceeded) // the caller knows that its context has ended
		return
	}
	x.sent = clock.Now()
	x.heard, p.floor = x.sent, x.sent
	set := x.due()
	_ = p.SetWriteDeadline(p.time(x.deadline))
	p.until(set)
	out := net.Buffers{x.head, x.body}
	if _, err := out.WriteTo(p.top); err != nil {
		if now := clock.Now(); os.IsTimeout(err) && x.deadline != 0 && now >= x.deadline {
			x.expire(now)
		} else {
			x.stop(err)
		}
		return
	}
	buf := plainBuffers.Get().(*[]byte)
	defer plainBuffers.Put(buf)
	for {
		n, err := p.top.Read(*buf)
		now := clock.Now()
		if n > 0 && x.take((*buf)[:n], p.last, p.kernel, now) {
			return
		}
		due := x.due()
		switch {
		case err == nil:
			// A later deadline is set when the earlier one has passed: moving it with every
			// event would cost as much as the read.
			if due == 0 || (set != 0 && due >= set) {
				continue
			}
		case !os.IsTimeout(err) || ctx.Err() != nil || due == 0:
			x.stop(err)
			return
		case now >= due:
			x.expire(now)
			return
		}
		set = due
		p.until(due)
	}
}
