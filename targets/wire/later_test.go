package wire

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sparkrun/runner/record"
)

// both runs a test with the loop's connections and with those that a goroutine reads.
func both(t *testing.T, f func(t *testing.T, dial dialFunc)) {
	var d net.Dialer
	t.Run("looped", func(t *testing.T) { f(t, d.DialContext) })
	t.Run("plain", func(t *testing.T) { f(t, hidden(d.DialContext)) })
}

// TestLaterLeavesAtItsTime: requests handed over ahead, in any order, leave in the order
// of their times, none before its own, each on a connection that was open by then.
func TestLaterLeavesAtItsTime(t *testing.T) {
	both(t, func(t *testing.T, dial dialFunc) {
		var mu sync.Mutex
		var came []string
		url := serveIDs(t, func(id string) {
			mu.Lock()
			defer mu.Unlock()
			came = append(came, id)
		})
		c := clientOf(t, url, Options{Stream: true, DialContext: dial})
		start := c.Clock.Now()
		var records [3]record.Record
		var all sync.WaitGroup
		for i, after := range []time.Duration{750 * time.Millisecond, 500 * time.Millisecond, 250 * time.Millisecond} {
			all.Go(func() {
				// The timeout counts from the time, not from the call.
				records[i] = do(t, c, record.Request{ID: string(rune('a' + i)), Scheduled: start + int64(after), Timeout: 70 * time.Second})
			})
		}
		all.Wait()
		for i := range records {
			r := &records[i]
			if r.Status != record.OK {
				t.Errorf("request %d: %s: %s", i, r.Status, r.Error)
			}
			if r.Sent < r.Scheduled {
				t.Errorf("request %d left %v before its time", i, time.Duration(r.Scheduled-r.Sent))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(came, ""); got != "cba" {
			t.Errorf("they came as %q; by their times it is cba", got)
		}
	})
}

// TestLaterTimeout: a timeout that is shorter than the time ahead is not over before the
// request has left.
func TestLaterTimeout(t *testing.T) {
	both(t, func(t *testing.T, dial dialFunc) {
		c := clientOf(t, serveIDs(t, func(string) { <-t.Context().Done() }), Options{Stream: true, DialContext: dial})
		at := c.Clock.Now() + int64(150*time.Millisecond)
		r := do(t, c, record.Request{Scheduled: at, Timeout: 60 * time.Millisecond})
		if r.Status != record.Timeout || r.Sent < at || r.StreamEnd < at+int64(60*time.Millisecond) {
			t.Errorf("%s (%s), sent %v, ended %v after its time", r.Status, r.Error, time.Duration(r.Sent-at), time.Duration(r.StreamEnd-at))
		}
	})
}

// TestLaterTakenBack: what has not left when the run ends is not sent.
func TestLaterTakenBack(t *testing.T) {
	both(t, func(t *testing.T, dial dialFunc) {
		c := clientOf(t, serveIDs(t, func(id string) { t.Errorf("%s was sent", id) }), Options{Stream: true, DialContext: dial})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Millisecond, cancel)
		r := record.Request{ID: "late", Body: []byte("{}"), Scheduled: c.Clock.Now() + int64(time.Hour)}
		var rec record.Record
		c.Do(ctx, &r, &rec)
		if rec.Status != record.Cancelled || rec.Sent != 0 {
			t.Errorf("%s (%s), sent at %d; cancelled and not sent", rec.Status, rec.Error, rec.Sent)
		}
	})
}

// TestLaterBesideEarlier: one that is given later and leaves sooner is not held up.
func TestLaterBesideEarlier(t *testing.T) {
	both(t, func(t *testing.T, dial dialFunc) {
		c := clientOf(t, serveIDs(t, func(string) {}), Options{Stream: true, DialContext: dial, Connections: 2})
		ctx, cancel := context.WithCancel(t.Context())
		far := make(chan struct{})
		go func() {
			defer close(far)
			var rec record.Record
			c.Do(ctx, &record.Request{ID: "far", Body: []byte("{}"), Scheduled: c.Clock.Now() + int64(time.Hour)}, &rec)
		}()
		time.Sleep(30 * time.Millisecond)
		if r := do(t, c, record.Request{Scheduled: c.Clock.Now() + int64(30*time.Millisecond)}); r.Status != record.OK {
			t.Errorf("%s: %s", r.Status, r.Error)
		}
		cancel()
		<-far
	})
}

// serveIDs answers every request with one token, after saw was told of it.
func serveIDs(t *testing.T, saw func(id string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					id := ""
					for {
						line, err := in.ReadString('\n')
						if err != nil {
							return
						}
						if v, is := strings.CutPrefix(line, "X-Request-Id: "); is {
							id = strings.TrimSpace(v)
						}
						if line == "\r\n" {
							break
						}
					}
					if _, err := in.Discard(len("{}")); err != nil {
						return
					}
					saw(id)
					_, _ = conn.Write([]byte(good + chunk(token) + chunk(last) + "0\r\n\r\n"))
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return "http://" + l.Addr().String() + "/v1"
}
