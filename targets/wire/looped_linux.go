package wire

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"sparkrun/runner/record"
)

// looped is a connection that a loop reads. The goroutine of a request writes it, and
// waits.
type looped struct {
	fd      int
	loop    *loop
	all     *loops
	current atomic.Pointer[exchange]
	dead    atomic.Bool // something came while it was idle, or it cannot be used again
	done    chan struct{}
	left    chan struct{} // the pacer has let go of the exchange that it began
	died    func()        // called by the loop as it becomes dead while it is idle

	// Of the loop's thread alone.
	slot     int32
	floor    int64 // nothing was left to read at this time
	flushing bool  // a part of the request is not written yet
}

// loops are a client's: one to begin with, another for every so many connections, at
// most one for each core.
type loops struct {
	mu    sync.Mutex
	all   []*loop
	n     int // connections given out
	pacer *pacer
}

const connsPerLoop = 256

// adopt takes a TCP connection out of the hands of the standard library; nil where it is
// not one. died is called, by a loop, when it ends while it is idle.
func (s *loops) adopt(conn net.Conn, stamps stamper, died func()) (link, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, nil
	}
	fd, err := detach(tcp)
	if err != nil {
		return nil, fmt.Errorf("take over the connection to %s: %w", conn.RemoteAddr(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := min(runtime.NumCPU(), 1+s.n/connsPerLoop); len(s.all) < want {
		l, err := newLoop(stamps)
		if err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("read the connection to %s: %w", conn.RemoteAddr(), err)
		}
		s.all = append(s.all, l)
	}
	l := s.all[s.n%len(s.all)]
	s.n++
	c := &looped{fd: fd, loop: l, all: s, died: died, slot: -1, done: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	l.send(note{c, nil, register})
	return c, nil
}

// detach takes the socket out of the runtime's poller, which would wake up for every
// frame, too.
func detach(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	var opt error
	if err := raw.Control(func(old uintptr) {
		if fd, opt = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); opt == nil {
			// Where it is refused, arrivals are stamped by this program, and the rows say so.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		}
	}); err != nil {
		return -1, err
	}
	if opt != nil {
		return -1, opt
	}
	tcp.Close() // the copy keeps the connection
	return fd, nil
}

// sender is the pacer, which begins with the first request that is given ahead: a load
// without such has no use for its thread and its P.
func (s *loops) sender(clock record.Clock) (*pacer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pacer != nil {
		return s.pacer, nil
	}
	p, err := newPacer(clock)
	if err != nil {
		return nil, fmt.Errorf("make the thread that sends: %w", err)
	}
	s.pacer = p
	return p, nil
}

// close ends the loops' threads, and the pacer's.
func (s *loops) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.all {
		l.close()
	}
	if s.pacer != nil {
		s.pacer.close()
	}
	s.all, s.n, s.pacer = nil, 0, nil
}

func (c *looped) open() bool { return !c.dead.Load() && quiet(c.fd) }

func (c *looped) gone() bool { return c.dead.Load() }

func (c *looped) close() {
	unix.Close(c.fd)
	c.loop.send(note{c, nil, forget})
}

func (c *looped) exchange(ctx context.Context, x *exchange) {
	var later *departure
	if x.at > c.loop.clock.Now() {
		p, err := c.all.sender(c.loop.clock)
		if err != nil {
			x.stop(err)
			return
		}
		later = p.give(ctx, c, x)
	} else if ask, needed := c.begin(x); needed {
		c.loop.send(note{c, x, ask})
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if later != nil && !later.taken.Swap(true) {
			x.stop(os.ErrDeadlineExceeded) // the caller knows that its context has ended
			return
		}
		c.loop.send(note{c, x, cancel})
		<-c.done
	}
	if later != nil {
		<-c.left
	}
	if x.unsent != nil {
		x.err = x.unsent
	}
	if c.dead.Load() {
		x.answer.closes = true
	}
}

// begin sends x's request; needed is what the loop must be asked for then.
func (c *looped) begin(x *exchange) (ask request, needed bool) {
	l := c.loop
	l.active.Add(1)
	x.sent = l.clock.Now()
	x.heard = x.sent
	due := x.due()
	// From here on the loop has x, apart from head and body.
	c.current.Store(x)
	err := c.writeSome(x)
	for err == nil && len(x.head)+len(x.body) > 0 {
		err = c.writeSome(x)
	}
	switch {
	case err == unix.EAGAIN:
		return flush, true
	case err == unix.EPIPE, err == unix.ECONNRESET:
		// The loop finds on the socket how it ended: perhaps with an answer.
		return look, true
	case err != nil:
		x.unsent = os.NewSyscallError("sendmsg", err)
		return cancel, true
	}
	return look, c.dead.Load() || (due != 0 && due < l.next.Load())
}

// writeSome writes as much of the request as the socket takes.
func (c *looped) writeSome(x *exchange) error {
	var iov [2]unix.Iovec
	n := 0
	for _, b := range [2][]byte{x.head, x.body} {
		if len(b) > 0 {
			iov[n].Base = &b[0]
			iov[n].SetLen(len(b))
			n++
		}
	}
	var msg unix.Msghdr
	msg.Iov = &iov[0]
	msg.SetIovlen(n)
	for {
		// MSG_NOSIGNAL as the Go runtime would have it; without its scheduler, as it does not wait.
		r, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		wrote := int(r)
		in := min(wrote, len(x.head))
		x.head, x.body = x.head[in:], x.body[wrote-in:]
		return nil
	}
}

// roundTrip is the kernel's measure of a new connection's round trip in ns, 0 where it
// has none: what our own scheduler does is not in it.
func roundTrip(conn net.Conn) int64 {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var rtt int64
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			rtt = int64(info.Rtt) * 1000
		}
	})
	return rtt
}
