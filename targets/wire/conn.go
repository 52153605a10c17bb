package wire

import (
	"bufio"
	"net"
	"os"
	"sync/atomic"
	"time"

	"sparkrun/runner/record"
)

// conn is a connection to the server: HTTP on top, possibly TLS below it, and at the
// bottom the socket that stamps.
type conn struct {
	top     net.Conn
	stamped *stamped
	reader  *bufio.Reader
	ended   bool // the last answer was read to its end
}

func newConn(s *stamped) *conn {
	return &conn{top: s, stamped: s, reader: bufio.NewReaderSize(s, 16<<10)}
}

// over puts TLS between the socket and HTTP.
func (c *conn) over(t net.Conn) {
	c.top = t
	c.reader.Reset(t)
}

func (c *conn) Close() { c.top.Close() }

// stamped is a connection that knows when the bytes of its last read arrived. One
// goroutine reads; cut may come from another.
type stamped struct {
	net.Conn
	clock  record.Clock
	idle   time.Duration // longest wait of one read; 0: none
	last   int64         // arrival of what the last read returned
	kernel bool          // the kernel stamped it
	isCut  atomic.Bool
	soon   bool // a deadline is set that reads must keep
	socket *socket
}

func newStamped(c net.Conn, clock record.Clock) *stamped {
	return &stamped{Conn: c, clock: clock, socket: newSocket(c)}
}

// begin prepares for an exchange.
func (s *stamped) begin(idle time.Duration) {
	s.idle, s.soon = idle, false
	_ = s.SetReadDeadline(time.Time{})
	if s.isCut.Load() {
		s.cut()
	}
}

// cut ends reads and writes, now and later.
func (s *stamped) cut() {
	s.isCut.Store(true)
	_ = s.SetDeadline(time.Unix(1, 0))
}

// hurry gives all further reads so long.
func (s *stamped) hurry(d time.Duration) {
	if s.soon {
		return
	}
	s.soon = true
	_ = s.SetReadDeadline(time.Now().Add(d))
}

// Read reads and stamps.
func (s *stamped) Read(b []byte) (int, error) {
	if s.idle > 0 && !s.soon {
		_ = s.SetReadDeadline(time.Now().Add(s.idle))
	}
	// After the deadline: cut's own, which comes after the flag, then stands.
	if s.isCut.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	if s.socket != nil {
		n, at, err := s.socket.read(b)
		now := time.Now()
		s.last = int64(now.Sub(s.clock.Epoch))
		if s.kernel = at > 0; s.kernel {
			// Both clocks were read in one: the age of the bytes is the same on either.
			if age := now.UnixNano() - at; age > 0 {
				s.last -= age
			}
		}
		return n, err
	}
	n, err := s.Conn.Read(b)
	s.last, s.kernel = s.clock.Now(), false
	return n, err
}

// open reports whether an idle connection can take another request: nothing has come on
// it, neither bytes nor its end.
func (s *stamped) open() bool { return s.socket == nil || s.socket.quiet() }
