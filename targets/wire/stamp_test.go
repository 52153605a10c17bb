package wire

import (
	"bufio"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sparkrun/runner/record"
)

// clocks are a wall clock that can be set and a clock that cannot.
type clocks struct{ at, wall int64 }

func (c *clocks) pass(d time.Duration) { c.at += int64(d); c.wall += int64(d) }

func (c *clocks) stamper() stamper {
	return stamper{now: func() (int64, int64) { return c.wall, c.at }}
}

// TestClockSteps: frames arrive and are read half a millisecond later, the wall clock is
// set in between. Times before and after are the true ones, those whose stamps a step
// made doubtful are the read's, and the row says so.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Second, -time.Second, time.Millisecond, -time.Millisecond, 30 * time.Microsecond, -30 * time.Microsecond} {
		for _, when := range []string{"before the frame", "after the frame", "while it is read"} {
			t.Run(fmt.Sprint(step, " ", when), func(t *testing.T) {
				c := &clocks{at: 1e9, wall: 1.8e18}
				s := c.stamper()
				s.measure()
				floor := c.at
				for i := range 10 {
					set := func(at string) {
						if i == 5 && at == when {
							c.wall += int64(step)
						}
					}
					c.pass(10 * time.Millisecond)
					set("before the frame")
					c.pass(100 * time.Microsecond)
					arrived, wall := c.at, c.wall
					c.pass(100 * time.Microsecond)
					set("after the frame")
					c.pass(300 * time.Microsecond)
					s.measure()
					set("while it is read")
					c.pass(2 * time.Microsecond)
					at, kernel := s.convert(wall, floor, c.at)
					floor = c.at
					switch {
					case kernel && at != arrived:
						t.Errorf("frame %d came at %d, is said to have come at %d", i, arrived, at)
					case !kernel && at != c.at:
						t.Errorf("frame %d has neither the kernel's time nor the read's", i)
					case !kernel && i != 5 && i != 6:
						t.Errorf("frame %d is not stamped by the kernel, long after the step", i)
					}
				}
			})
		}
	}
}

// TestGlitchIsNoStep: a reader that is put off between reading the two clocks sees an
// offset that never was.
func TestGlitchIsNoStep(t *testing.T) {
	c := &clocks{at: 1e9, wall: 1.8e18}
	late := int64(0)
	s := stamper{now: func() (int64, int64) {
		w := c.wall
		c.pass(time.Duration(late))
		late = 0
		return w, c.at
	}}
	s.measure()
	c.pass(time.Millisecond)
	wall, arrived := c.wall, c.at
	late = int64(3 * time.Millisecond)
	now := s.measure()
	if at, kernel := s.convert(wall, arrived-1, now); !kernel || at != arrived {
		t.Errorf("kernel %v, at %d, want %d", kernel, at, arrived)
	}
}

// TestStepUnderALoop sets the wall clock under a client whose streams go on: what it
// reports stays where it was, and where it had to stamp itself the row says so.
func TestStepUnderALoop(t *testing.T) {
	var set atomic.Int64
	steps := []time.Duration{time.Hour, -2 * time.Hour, time.Second, -time.Millisecond}
	url := serveRaw(t, func(conn net.Conn, _ *bufio.Reader) bool {
		fmt.Fprint(conn, good)
		for i := range 20 {
			time.Sleep(2 * time.Millisecond)
			if i%5 == 4 {
				set.Add(int64(steps[i/5]))
			}
			fmt.Fprint(conn, chunk(token))
		}
		fmt.Fprint(conn, chunk(last)+"0\r\n\r\n")
		return true
	})
	c := clientOf(t, url, Options{Stream: true})
	read := c.stamps.now
	c.stamps.now = func() (int64, int64) {
		wall, at := read()
		return wall + set.Load(), at
	}
	rec := do(t, c, record.Request{})
	if rec.Status != record.OK || len(rec.Events) != 20 || rec.Stamp != record.StampUser {
		t.Fatalf("%s %s: %d events, stamped by %s", rec.Status, rec.Error, len(rec.Events), rec.Stamp)
	}
	at := rec.Sent
	for i, e := range rec.Events {
		if e.At < at || e.At > rec.StreamEnd {
			t.Errorf("event %d at %d: the one before at %d, the end at %d", i, e.At, at, rec.StreamEnd)
		}
		at = e.At
	}
}
