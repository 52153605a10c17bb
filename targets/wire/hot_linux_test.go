package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sparkrun/runner/record"
)

// waiting is a loop without its thread, with one stream that has begun, and the server's
// end of its connection.
func waiting(tb testing.TB, room int) (l *loop, c *looped, server int) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	clock := record.NewClock()
	l = &loop{clock: clock, stamps: stamper{clock: clock, now: bothClocks(clock)}}
	l.iov.Base, l.iov.Len = &l.buf[0], uint64(len(l.buf))
	l.msg.Iov, l.msg.Iovlen, l.msg.Control = &l.iov, 1, &l.oob[0]
	c = &looped{fd: fds[0], loop: l, done: make(chan struct{}, 1)}
	rec := &record.Record{Events: make([]record.Event, 0, room)}
	x := &exchange{sent: 1}
	x.answer.begin(rec, false)
	c.current.Store(x)
	step(tb, l, c, fds[1], []byte(good))
	step(tb, l, c, fds[1], []byte(chunk(token))) // scanned, and learnt
	return l, c, fds[1]
}

// step is an event's way: from the socket over its stamp and its kind into the record.
func step(tb testing.TB, l *loop, c *looped, server int, frame []byte) {
	if _, err := unix.Write(server, frame); err != nil {
		tb.Fatal(err)
	}
	l.stamps.measure()
	l.read(c, c.current.Load(), false)
}

// TestNoAllocationPerEvent: read, stamp, classify, record.
func TestNoAllocationPerEvent(t *testing.T) {
	const runs = 1000
	frame := []byte(chunk(token))
	other := []byte(chunk(strings.Replace(token, `"index"`, `"i"`, 1)))
	l, c, server := waiting(t, 4*runs)
	before := len(c.current.Load().answer.stream.rec.Events)
	if n := testing.AllocsPerRun(runs, func() { step(t, l, c, server, frame) }); n != 0 {
		t.Errorf("%v allocations for an event that is like the one before", n)
	}
	i := 0
	if n := testing.AllocsPerRun(runs, func() {
		i++
		if i%2 == 0 {
			step(t, l, c, server, frame)
		} else {
			step(t, l, c, server, other)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an event that must be scanned", n)
	}
	if got := len(c.current.Load().answer.stream.rec.Events) - before; got != 2*runs+2 {
		t.Errorf("%d events were recorded of %d", got, 2*runs+2)
	}
}

// BenchmarkReadStampRecord is an event's whole way, the server's write included.
func BenchmarkReadStampRecord(b *testing.B) {
	frame := []byte(chunk(token))
	l, c, server := waiting(b, 0)
	rec := c.current.Load().answer.stream.rec
	b.ReportAllocs()
	for b.Loop() {
		rec.Events = rec.Events[:0]
		step(b, l, c, server, frame)
	}
}

// BenchmarkRecorder is an event's way without the socket: 64 KB of frames, as a fast
// server's client reads them.
func BenchmarkRecorder(b *testing.B) {
	frame := []byte(chunk(token))
	block := bytes.Repeat(frame, 1000)
	rec := &record.Record{Events: make([]record.Event, 0, 1000)}
	x := &exchange{}
	x.answer.begin(rec, false)
	x.take([]byte(good), 1, true, 1)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		rec.Events = rec.Events[:0]
		x.take(block, 2, true, 2)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

// TestNoContention: while streams run, nothing of ours waits for a lock: contention is
// counted, and must not grow with the events.
func TestNoContention(t *testing.T) {
	const streams, events = 64, 400
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for range events {
			fmt.Fprint(w, token)
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, last)
	}))
	defer h.Close()
	c := clientOf(t, h.URL+"/v1", Options{Stream: true, Connections: streams})
	until(t, "spares", func() bool { return c.pool.idling() == streams })
	before := runtime.SetMutexProfileFraction(1)
	defer runtime.SetMutexProfileFraction(before)
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			var rec record.Record
			c.Do(context.Background(), &record.Request{ID: "a", Body: []byte("{}"), AskedMax: events}, &rec)
			if len(rec.Events) != events {
				t.Errorf("%s %s: %d events", rec.Status, rec.Error, len(rec.Events))
			}
		})
	}
	all.Wait()
	profile := make([]runtime.BlockProfileRecord, 10_000)
	n, ok := runtime.MutexProfile(profile)
	if !ok {
		t.Fatalf("%d places of contention", n)
	}
	count := int64(0)
	for _, r := range profile[:n] {
		frames := runtime.CallersFrames(r.Stack())
		for {
			f, more := frames.Next()
			if strings.HasPrefix(f.Function, "sparkrun/targets/wire.(") {
				count += r.Count
				break
			}
			if !more {
				break
			}
		}
	}
	// Taking and giving a connection may meet another's; an event meets nobody.
	if count > 2*streams {
		t.Errorf("%d waits for locks of ours in %d events of %d requests", count, streams*events, streams)
	}
}
