package wire

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sparkrun/runner/record"
)

// loop reads many connections on one OS thread: epoll says which have something, recvmsg
// brings bytes and the kernel's stamp into one buffer that all share, and the exchange
// of the connection takes them. A stream that waits holds no buffer.
//
// Who owns what: an exchange is the loop's from the moment it is stored in its
// connection until the loop takes it out and reports on done. The file descriptor is
// closed by whoever holds the connection while it has no exchange.
type loop struct {
	epoll  int
	wake   int // an eventfd: notes have come
	clock  record.Clock
	stamps stamper
	ended  chan struct{}
	active atomic.Int64 // exchanges under way
	next   atomic.Int64 // clock time at which it looks at deadlines by itself

	mu    sync.Mutex
	notes []note

	// Of the thread alone.
	slots  []*looped
	free   []int32
	taken  []note
	events [512]unix.EpollEvent
	buf    [64 << 10]byte
	oob    [64]byte
	iov    unix.Iovec
	msg    unix.Msghdr
}

// note asks the loop to do something with a connection, or to end (no connection).
type note struct {
	conn *looped
	x    *exchange // what it is about; not looked at if it has ended meanwhile
	what request
}

type request uint8

const (
	register request = iota // a new connection
	forget                  // a closed one
	look                    // deadlines have changed, or there may be something to read
	flush                   // the rest of the request is to be written
	cancel                  // the exchange is to end
)

// lazyFrom is how many exchanges under way make the loop wait a little after a wake-up, so
// that one serves many frames. The kernel's stamps say when they came all the same. With
// few streams it does not: two frames of one stream that are read together share a stamp.
const lazyFrom = 128

// lazyWait is how long.
const lazyWait = 500 * time.Microsecond

func newLoop(s stamper) (*loop, error) {
	l := &loop{clock: s.clock, stamps: s, ended: make(chan struct{})}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(l.epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}); err != nil {
		unix.Close(l.wake)
		unix.Close(l.epoll)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	l.iov.Base, l.iov.Len = &l.buf[0], uint64(len(l.buf))
	l.msg.Iov, l.msg.Iovlen, l.msg.Control = &l.iov, 1, &l.oob[0]
	l.next.Store(math.MaxInt64)
	bring(1)
	go l.run()
	return l, nil
}

// send gives the loop a note.
func (l *loop) send(n note) {
	l.mu.Lock()
	l.notes = append(l.notes, n)
	first := len(l.notes) == 1
	l.mu.Unlock()
	if first {
		one := [8]byte{0: 1}
		_, _ = unix.Write(l.wake, one[:]) // full means that it will wake
	}
}

// close ends the loop's thread; its connections are closed by their owners.
func (l *loop) close() {
	l.send(note{})
	<-l.ended
	bring(-1)
}

func (l *loop) run() {
	// The thread ends with this goroutine: its timer slack is not for others.
	runtime.LockOSThread()
	defer close(l.ended)
	defer unix.Close(l.epoll)
	defer unix.Close(l.wake)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	for {
		n, err := l.poll()
		if err != nil && err != unix.EINTR {
			panic(fmt.Sprintf("epoll_wait on the loop's own descriptor: %v", err)) // never
		}
		if n <= 0 && l.clock.Now() < l.next.Load() {
			continue
		}
		l.stamps.measure()
		for i := range max(0, n) {
			if l.events[i].Fd >= 0 {
				l.event(&l.events[i])
			} else if !l.listen() {
				return
			}
		}
		if l.clock.Now() >= l.next.Load() {
			l.sweep()
		}
		if n > 0 && l.active.Load() >= lazyFrom {
			rest()
		}
	}
}

// While exchanges are under way the loop's thread sleeps without telling the scheduler. If
// it did, the scheduler would take its processor away, and the loop would have to queue for
// one behind whatever the program does (2000 goroutines that begin to send, say), while
// frames pile up and share one stamp. When the runtime wants something of the thread, as
// for a garbage collection, its signal ends the sleep.

// rest sleeps for lazyWait.
func rest() {
	wait := unix.NsecToTimespec(int64(lazyWait))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&wait)), 0, 0)
}

// longestSleep bounds what a runtime that must not send signals would wait.
const longestSleep = 100 // ms

// processors guards the number of Ps.
var processors sync.Mutex

// bring adds Ps to the runtime's: a loop sleeps on its own, and those that the rest of
// the program has remain as many as there are cores.
func bring(n int) {
	processors.Lock()
	defer processors.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

// poll waits for events until the next deadline.
func (l *loop) poll() (int, error) {
	ms := -1
	if next := l.next.Load(); next != math.MaxInt64 {
		// Rounded up: a deadline that has not passed would be looked at in vain.
		ms = int(min(math.MaxInt32, max(0, (next-l.clock.Now()+int64(time.Millisecond)-1)/int64(time.Millisecond))))
	}
	if l.active.Load() == 0 {
		return unix.EpollWait(l.epoll, l.events[:], ms)
	}
	if ms < 0 || ms > longestSleep {
		ms = longestSleep
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// listen takes the notes; false at the end.
func (l *loop) listen() bool {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:])
	l.mu.Lock()
	l.taken, l.notes = l.notes, l.taken[:0]
	l.mu.Unlock()
	for _, n := range l.taken {
		if n.conn == nil {
			return false
		}
		l.obey(n)
	}
	clear(l.taken)
	return true
}

func (l *loop) obey(n note) {
	c := n.conn
	switch n.what {
	case register:
		l.add(c)
		return
	case forget:
		if c.slot >= 0 {
			l.slots[c.slot] = nil
			l.free = append(l.free, c.slot)
		}
		return
	}
	if c.current.Load() != n.x {
		return // it has ended
	}
	switch n.what {
	case flush:
		c.flushing = true
		l.write(c, n.x)
	case cancel:
		n.x.stop(os.ErrDeadlineExceeded) // the caller knows that its context has ended
		l.finish(c)
		return
	}
	l.remind(n.x)
	l.read(c, n.x, true)
}

// add begins to watch a connection.
func (l *loop) add(c *looped) {
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
		l.slots[c.slot] = c
	} else {
		c.slot = int32(len(l.slots))
		l.slots = append(l.slots, c)
	}
	// What came before is reported at once.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.slot}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
		l.fail(c, os.NewSyscallError("epoll_ctl", err))
		return
	}
	l.remind(c.current.Load())
}

// fail ends a connection that cannot be watched.
func (l *loop) fail(c *looped, err error) {
	c.dead.Store(true)
	if x := c.current.Load(); x != nil {
		x.stop(err)
		l.finish(c)
	}
}

// event is what epoll says of a connection.
func (l *loop) event(ev *unix.EpollEvent) {
	c := l.slots[ev.Fd]
	if c == nil {
		return // closed in the meantime
	}
	x := c.current.Load()
	if x == nil && ev.Events&^unix.EPOLLOUT != 0 && !quiet(c.fd) {
		// Something came on an idle connection. An exchange that is stored from here on
		// sees dead, and asks to be looked at.
		c.dead.Store(true)
		if x = c.current.Load(); x == nil {
			c.died()
		}
	}
	if x == nil {
		return
	}
	if c.flushing && ev.Events&unix.EPOLLOUT != 0 && !l.write(c, x) {
		return
	}
	if ev.Events&^unix.EPOLLOUT != 0 {
		ends := ev.Events&^(unix.EPOLLOUT|unix.EPOLLIN) != 0
		if ends {
			c.dead.Store(true) // even if the answer comes to its own end before
		}
		l.read(c, x, ends)
	}
}

// read takes what is there. A read that does not fill the buffer has taken all; what
// comes later is another event, but the end may be in this one (more).
func (l *loop) read(c *looped, x *exchange, more bool) {
	before := l.clock.Now()
	for {
		n, wall, errno := l.recv(c.fd)
		now := l.clock.Now()
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			c.floor = before
			return
		case errno != 0:
			x.stop(os.NewSyscallError("recvmsg", errno))
			l.finish(c)
			return
		case n == 0:
			x.stop(io.EOF)
			l.finish(c)
			return
		}
		at, kernel := l.stamps.convert(wall, max(c.floor, x.sent), now)
		hurried := x.hurried
		if x.take(l.buf[:n], at, kernel, now) {
			l.finish(c)
			return
		}
		if x.hurried != hurried {
			l.remind(x)
		}
		if n < len(l.buf) {
			c.floor = before
			if !more {
				return
			}
		}
		before = now
	}
}

// recv is recvmsg without the scheduler: it does not wait.
func (l *loop) recv(fd int) (n int, wall int64, errno syscall.Errno) {
	l.msg.SetControllen(len(l.oob))
	r, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&l.msg)), unix.MSG_DONTWAIT)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(r), stamp(l.oob[:l.msg.Controllen]), 0
}

// write sends more of a request that the socket had no room for; false where the
// exchange ended with it.
func (l *loop) write(c *looped, x *exchange) bool {
	for len(x.head)+len(x.body) > 0 {
		err := c.writeSome(x)
		if err == unix.EAGAIN {
			return true
		}
		if err != nil {
			x.stop(os.NewSyscallError("writev", err))
			l.finish(c)
			return false
		}
	}
	c.flushing = false
	return true
}

// finish gives an exchange back to the caller who waits for it.
func (l *loop) finish(c *looped) {
	if c.flushing {
		c.flushing = false
		c.dead.Store(true) // half a request is on it
	}
	l.active.Add(-1)
	c.current.Store(nil)
	c.done <- struct{}{} // has room
}

// remind makes sure that the loop looks when x is due.
func (l *loop) remind(x *exchange) {
	if x == nil {
		return
	}
	if due := x.due(); due != 0 && due < l.next.Load() {
		l.next.Store(due)
	}
}

// sweep ends the exchanges that are due. Deadlines move with every event, and only the
// earliest is kept: by the time it comes it may have moved on.
func (l *loop) sweep() {
	// First: a caller who stores an exchange that this pass does not see finds no deadline
	// and asks to be looked at.
	l.next.Store(math.MaxInt64)
	now := l.clock.Now()
	for _, c := range l.slots {
		if c == nil {
			continue
		}
		x := c.current.Load()
		if x == nil {
			continue
		}
		if due := x.due(); due != 0 && now >= due {
			x.expire(now)
			c.dead.Store(true)
			l.finish(c)
			continue
		}
		l.remind(x)
	}
}
