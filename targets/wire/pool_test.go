package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sparkrun/runner/record"
)

// streams serves one token to every request and counts connections.
func streams(t *testing.T) (url string, opened *atomic.Int64) {
	t.Helper()
	opened = new(atomic.Int64)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, token+last)
	}))
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	h.Start()
	t.Cleanup(h.Close)
	return h.URL + "/v1", opened
}

// until waits for a thing to come true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 5000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func (p *pool) idling() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// TestSpares: connections are open before the first request, which says what its set-up
// took, outside its times; a kept one took none.
func TestSpares(t *testing.T) {
	url, opened := streams(t)
	c := clientOf(t, url, Options{Stream: true, Connections: 3})
	until(t, "three spares", func() bool { return c.pool.idling() == 3 })
	for i := range 5 {
		rec := do(t, c, record.Request{})
		if rec.Status != record.OK || (rec.Connect > 0) != (i < 3) || rec.RoundTrip <= 0 {
			t.Errorf("request %d: %s %s, connect %d, round trip %d", i, rec.Status, rec.Error, rec.Connect, rec.RoundTrip)
		}
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections for 3 at a time", n)
	}
}

// TestSparesGrow: in an open loop there are always more than are in use.
func TestSparesGrow(t *testing.T) {
	url, _ := streams(t)
	c := clientOf(t, url, Options{Stream: true, Grow: true})
	until(t, "spares", func() bool { return c.pool.idling() == leastSpares })
	if rec := do(t, c, record.Request{}); rec.Status != record.OK {
		t.Error(rec.Error)
	}
}

// TestSpareOfAClosingServer: a server that closes after every answer has a new connection
// ready for the next request.
func TestSpareOfAClosingServer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only a loop sees that an idle connection ends")
	}
	c := clientOf(t, rawServer(t, []byte(good+chunk(token)+chunk(last)+"0\r\n\r\n")), Options{Stream: true, Connections: 1})
	for i := range 10 {
		until(t, "an open spare", func() bool {
			c.pool.mu.Lock()
			defer c.pool.mu.Unlock()
			return len(c.pool.idle) == 1 && c.pool.idle[0].setUp > 0
		})
		if rec := do(t, c, record.Request{}); rec.Status != record.OK || rec.Reconnects != 0 || rec.Connect == 0 {
			t.Errorf("request %d: %s %s, %d reconnects", i, rec.Status, rec.Error, rec.Reconnects)
		}
	}
}

// TestLongRequest: a body that no socket buffer holds is written as the server takes it.
func TestLongRequest(t *testing.T) {
	got := make(chan int64, 1)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, token+last)
	}))
	defer h.Close()
	c := clientOf(t, h.URL+"/v1", Options{Stream: true})
	for range 2 {
		var rec record.Record
		c.Do(t.Context(), &record.Request{ID: "a", Body: bytes.Repeat([]byte("x"), 30<<20)}, &rec)
		if rec.Status != record.OK {
			t.Fatal(rec.Error)
		}
		if n := <-got; n != 30<<20 {
			t.Errorf("%d bytes came", n)
		}
	}
}

// TestNobodyReads: a request that the server does not take ends at its timeout, or with
// the run.
func TestNobodyReads(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := clientOf(t, "http://"+l.Addr().String()+"/v1", Options{Stream: true})
	body := bytes.Repeat([]byte("x"), 30<<20)
	var rec record.Record
	c.Do(t.Context(), &record.Request{ID: "a", Body: body, Timeout: 50 * time.Millisecond}, &rec)
	if rec.Status != record.Timeout {
		t.Errorf("%s %s", rec.Status, rec.Error)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	c.Do(ctx, &record.Request{ID: "b", Body: body}, &rec)
	if rec.Status != record.Cancelled {
		t.Errorf("%s %s", rec.Status, rec.Error)
	}
}

// TestManyAtOnce: many streams on all loops, with events in between, under the race detector.
func TestManyAtOnce(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		out := bufio.NewWriter(w)
		for range 20 {
			fmt.Fprint(out, token)
			_ = out.Flush()
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
		fmt.Fprint(w, last)
	}))
	defer h.Close()
	c := clientOf(t, h.URL+"/v1", Options{Stream: true, Connections: 600})
	ended := make(chan record.Record, 600)
	for i := range 600 {
		go func() {
			var rec record.Record
			c.Do(t.Context(), &record.Request{ID: fmt.Sprint(i), Body: []byte("{}"), AskedMax: 20, Timeout: time.Minute, IdleTimeout: 30 * time.Second}, &rec)
			ended <- rec
		}()
	}
	for range 600 {
		rec := <-ended
		if rec.Status != record.OK || len(rec.Events) != 20 {
			t.Fatalf("%s %s, %d events", rec.Status, rec.Error, len(rec.Events))
		}
	}
}
