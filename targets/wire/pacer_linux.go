package wire

import (
	"context"
	"math"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"sparkrun/runner/record"
)

// pacer sends requests at their time, on an OS thread of its own that does nothing else.
// One that hardly runs is let in by the kernel the moment it wakes; a goroutine, or a
// loop's thread, which has used its share of a busy processor, is not.
type pacer struct {
	clock record.Clock
	wake  int // an eventfd: something leaves sooner than what was known, or all is over
	ended chan struct{}

	// given are new departures, the last in front; until is when the thread looks by itself.
	given  atomic.Pointer[departure]
	until  atomic.Int64
	closed atomic.Bool

	leave []*departure // of the thread alone: the soonest last
}

// departure is an exchange that is to begin at a time to come. Who sets taken begins it,
// or ends it.
type departure struct {
	ctx   context.Context
	conn  *looped
	x     *exchange
	taken atomic.Bool
	next  *departure
}

func newPacer(clock record.Clock) (*pacer, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &pacer{clock: clock, wake: wake, ended: make(chan struct{})}
	p.until.Store(math.MaxInt64)
	bring(1)
	go p.run()
	return p, nil
}

func (p *pacer) close() {
	p.closed.Store(true)
	p.ring()
	<-p.ended
	bring(-1)
}

func (p *pacer) ring() {
	one := [8]byte{0: 1}
	_, _ = unix.Write(p.wake, one[:]) // full means that it will wake
}

// give has x begin on c at its time.
func (p *pacer) give(ctx context.Context, c *looped, x *exchange) *departure {
	d := &departure{ctx: ctx, conn: c, x: x}
	for {
		d.next = p.given.Load()
		if p.given.CompareAndSwap(d.next, d) {
			break
		}
	}
	if x.at < p.until.Load() {
		p.ring()
	}
	return d
}

// The slice of a thread that wakes for a moment only: the kernel (from 6.12 on) lets it in
// before those that have longer ones.
const pacerSlice = 100_000 // ns, the least

func (p *pacer) run() {
	// The thread ends with this goroutine: how it is scheduled is not for others.
	runtime.LockOSThread()
	defer close(p.ended)
	defer unix.Close(p.wake)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Runtime: pacerSlice}, 0)
	for !p.closed.Load() {
		for d := p.given.Swap(nil); d != nil; d = d.next {
			p.insert(d)
		}
		next := int64(math.MaxInt64)
		for n := len(p.leave) - 1; n >= 0; n-- {
			if next = p.leave[n].x.at; next > p.clock.Now() {
				break
			}
			p.leave[n].begin()
			p.leave, next = slices.Delete(p.leave, n, n+1), math.MaxInt64
		}
		p.until.Store(next)
		if p.given.Load() == nil {
			p.sleep(next)
		}
	}
}

// insert keeps the order. Departures are given about in the order of their times, and
// taken in the reverse: the way is short.
func (p *pacer) insert(d *departure) {
	i, _ := slices.BinarySearchFunc(p.leave, d.x.at, func(e *departure, at int64) int {
		if e.x.at > at {
			return -1
		}
		return 1
	})
	p.leave = slices.Insert(p.leave, i, d)
}

// sleep waits for a clock time or a ring. While there is a departure it does not tell the
// scheduler, as a loop does not (see rest).
func (p *pacer) sleep(until int64) {
	fds := [1]unix.PollFd{{Fd: int32(p.wake), Events: unix.POLLIN}}
	if until == math.MaxInt64 {
		_, _ = unix.Poll(fds[:], -1)
	} else {
		ts := unix.NsecToTimespec(min(max(0, until-p.clock.Now()), longestSleep*1e6))
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	}
	if fds[0].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(p.wake, count[:])
	}
}

// begin sends the request, unless its caller has taken it back.
func (d *departure) begin() {
	if d.taken.Swap(true) {
		return
	}
	if ask, needed := d.conn.begin(d.x); needed {
		d.conn.loop.send(note{d.conn, d.x, ask})
	}
	if d.ctx.Err() != nil { // perhaps the loop was told before it had the exchange
		d.conn.loop.send(note{d.conn, d.x, cancel})
	}
	d.conn.left <- struct{}{} // has room
}
