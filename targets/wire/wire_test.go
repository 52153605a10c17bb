package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sparkrun/runner/record"
	"sparkrun/scenario/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rawServer answers every request with the same bytes and closes the connection.
func rawServer(t *testing.T, answer []byte) string {
	t.Helper()
	return serveRaw(t, func(conn net.Conn, in *bufio.Reader) bool {
		_, _ = conn.Write(answer)
		return false
	})
}

// serveRaw calls handle for every request until it returns false; the connection is
// closed then.
func serveRaw(t *testing.T, handle func(conn net.Conn, in *bufio.Reader) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			for {
				req, err := http.ReadRequest(in)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, req.Body)
				if !handle(conn, in) {
					break
				}
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/v1"
}

func clientOf(t *testing.T, url string, o Options) *Client {
	t.Helper()
	o.BaseURL, o.Clock = url, record.NewClock()
	if o.API == "" {
		o.API = "chat"
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func do(t *testing.T, c *Client, r record.Request) record.Record {
	t.Helper()
	var rec record.Record
	r.Body = []byte(`{}`)
	if r.ID == "" {
		r.ID = "id-1"
	}
	c.Do(t.Context(), &r, &rec)
	return rec
}

const good = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

const token = `data: {"choices":[{"index":0,"delta":{"content":"a"}}]}` + "\n\n"

const last = `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}` + "\n\ndata: [DONE]\n\n"

// TestFailures is every way in which a request can go wrong: its status, a sentence, and
// nothing that a latency could be made of where there was no answer.
func TestFailures(t *testing.T) {
	closed := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "http://" + l.Addr().String() + "/v1"
	}()
	plain := func(code, body string) string {
		return rawServer(t, fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", code, len(body), body))
	}
	for name, c := range map[string]struct {
		url    string
		r      record.Request
		status string
		says   string
	}{
		"nobody listens":     {closed, record.Request{}, "connect_error", "refused"},
		"401":                {plain("401 Unauthorized", `{"error":{"message":"bad key"}}`), record.Request{}, "http_401", "bad key"},
		"404":                {plain("404 Not Found", `{"object":"error","message":"no model m"}`), record.Request{}, "http_404", "no model m"},
		"429":                {plain("429 Too Many Requests", `{"error":"slow down"}`), record.Request{}, "http_429", "slow down"},
		"500 without a body": {plain("500 Internal Server Error", ""), record.Request{}, "http_500", "no message"},
		"broken event":       {rawServer(t, []byte(good+chunk("data: {\"choices\":[\n\n"))), record.Request{}, "malformed", "not what the API promises"},
		"broken answer":      {plain("200 OK", `{"choices":`), record.Request{}, "malformed", "not JSON"},
		"no HTTP":            {rawServer(t, []byte("220 mail ready\r\n")), record.Request{}, "malformed", "header"},
		"error event":        {rawServer(t, []byte(good+chunk(token)+chunk(`data: {"error":{"message":"kv full"}}`+"\n\n")+"0\r\n\r\n")), record.Request{}, "stream_error", "kv full"},
		"error then [DONE]":  {rawServer(t, []byte(good+chunk(token)+chunk(`data: {"error":{"message":"kv full"}}`+"\n\ndata: [DONE]\n\n")+"0\r\n\r\n")), record.Request{}, "stream_error", "kv full"},
		"cut in the stream":  {rawServer(t, []byte(good+chunk(token))), record.Request{}, "truncated", "middle"},
		"ends without [DONE]": {rawServer(t, []byte(good+chunk(token)+"0\r\n\r\n")), record.Request{}, "truncated",
			"neither a finish reason nor [DONE]"},
		"no token":        {rawServer(t, []byte(good+chunk(last)+"0\r\n\r\n")), record.Request{}, "empty", "no token"},
		"closed at once":  {serveRaw(t, func(net.Conn, *bufio.Reader) bool { return false }), record.Request{}, "reset", "closed the connection"},
		"nothing in time": {serveRaw(t, func(_ net.Conn, in *bufio.Reader) bool { _, _ = in.Peek(1); return false }), record.Request{Timeout: 50 * time.Millisecond}, "timeout", "timeout is over"},
		"silent in between": {serveRaw(t, func(conn net.Conn, in *bufio.Reader) bool {
			fmt.Fprint(conn, good+chunk(token))
			_, _ = in.Peek(1)
			return false
		}), record.Request{IdleTimeout: 50 * time.Millisecond}, "idle_timeout", "idle_timeout"},
	} {
		rec := do(t, clientOf(t, c.url, Options{Stream: true}), c.r)
		if rec.Status.String() != c.status || !strings.Contains(rec.Error, c.says) {
			t.Errorf("%s: %s (%s), want %s with %q", name, rec.Status, rec.Error, c.status, c.says)
		}
		if rec.StreamEnd < rec.Sent || rec.Sent == 0 {
			t.Errorf("%s: sent at %d, ended at %d", name, rec.Sent, rec.StreamEnd)
		}
	}
}

// TestKeepAliveTrap is llama-server: it promises keep-alive and closes after each answer.
func TestKeepAliveTrap(t *testing.T) {
	c := clientOf(t, rawServer(t, []byte(strings.Replace(good, "\r\n\r\n", "\r\nKeep-Alive: timeout=5, max=100\r\n\r\n", 1)+chunk(token)+chunk(last)+"0\r\n\r\n")), Options{Stream: true})
	for i := range 50 {
		if rec := do(t, c, record.Request{}); rec.Status != record.OK || rec.OutputTokens != 1 {
			t.Fatalf("request %d: %s %s", i, rec.Status, rec.Error)
		}
	}
}

// TestReplacesOnce is a connection that is closed as the next request is under way.
func TestReplacesOnce(t *testing.T) {
	var n atomic.Int64
	url := serveRaw(t, func(conn net.Conn, _ *bufio.Reader) bool {
		if n.Add(1) == 2 {
			return false // read, not answered
		}
		fmt.Fprint(conn, good+chunk(token)+chunk(last)+"0\r\n\r\n")
		return true
	})
	c := clientOf(t, url, Options{Stream: true})
	if rec := do(t, c, record.Request{}); rec.Status != record.OK || rec.Connect == 0 {
		t.Fatalf("%s %s, connect %d", rec.Status, rec.Error, rec.Connect)
	}
	rec := do(t, c, record.Request{})
	if rec.Status != record.OK || rec.Reconnects != 1 {
		t.Fatalf("%s %s after %d reconnects", rec.Status, rec.Error, rec.Reconnects)
	}
	if rec := do(t, c, record.Request{}); rec.Connect != 0 || rec.Status != record.OK {
		t.Errorf("the third request did not reuse the connection: %s, connect %d", rec.Status, rec.Connect)
	}
}

// TestWithheldHeader is a queue: no header until there is a slot. TTFT has the wait.
func TestWithheldHeader(t *testing.T) {
	url := serveRaw(t, func(conn net.Conn, _ *bufio.Reader) bool {
		time.Sleep(60 * time.Millisecond)
		fmt.Fprint(conn, good+chunk(": ping\n\n")+chunk(token)+chunk(last)+"0\r\n\r\n")
		return true
	})
	rec := do(t, clientOf(t, url, Options{Stream: true}), record.Request{})
	if rec.Status != record.OK || rec.FirstToken-rec.Sent < int64(60*time.Millisecond) {
		t.Errorf("%s, TTFT %v", rec.Status, time.Duration(rec.FirstToken-rec.Sent))
	}
}

// TestKernelStamps: bytes that lie in the socket while nobody reads have the time at
// which they came.
func TestKernelStamps(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("kernel stamps are Linux's")
	}
	a, b := make(chan net.Conn, 1), (net.Conn)(nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, _ := l.Accept()
		a <- conn
	}()
	if b, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	server := <-a
	clock := record.NewClock()
	defer server.Close()
	s := newStamped(b, stamper{clock: clock, now: bothClocks(clock)})
	defer s.Close()
	buf := make([]byte, 10)
	// The first stamps of a process can lack while the kernel switches them on.
	for range 5 {
		_, _ = server.Write([]byte("x"))
		_, _ = s.Read(buf)
		time.Sleep(5 * time.Millisecond)
	}
	before := s.stamps.clock.Now()
	_, _ = server.Write([]byte("x"))
	after := s.stamps.clock.Now()
	time.Sleep(50 * time.Millisecond)
	if _, err := s.Read(buf); err != nil {
		t.Fatal(err)
	}
	if !s.kernel || s.last < before-int64(time.Millisecond) || s.last > after+int64(20*time.Millisecond) {
		t.Errorf("kernel %v: stamped %d, written between %d and %d", s.kernel, s.last, before, after)
	}
}

func TestTLSAndHeaders(t *testing.T) {
	headers := make(chan http.Header, 1)
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Clone()
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, token+last)
	}))
	defer h.Close()
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	o := Options{Stream: true, TLS: &tls.Config{RootCAs: pool}, Key: schema.Secret("k"), Headers: map[string]schema.Text{"X-Own": schema.Plain("v")}, UserAgent: "sparkrun/test"}
	rec := do(t, clientOf(t, h.URL+"/v1", o), record.Request{ID: "run-7"})
	if rec.Status != record.OK {
		t.Fatal(rec.Error)
	}
	got := <-headers
	if rec.Status != record.OK || got.Get("Authorization") != "Bearer k" || got.Get("X-Own") != "v" || got.Get("X-Request-Id") != "run-7" || got.Get("User-Agent") != "sparkrun/test" {
		t.Errorf("%s %s, headers %v", rec.Status, rec.Error, got)
	}
	if rec := do(t, clientOf(t, h.URL+"/v1", Options{Stream: true}), record.Request{}); rec.Status != record.TLSError {
		t.Errorf("an unknown certificate gives %s (%s)", rec.Status, rec.Error)
	}
}

func TestWhole(t *testing.T) {
	body := `{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}`
	url := rawServer(t, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	rec := do(t, clientOf(t, url, Options{}), record.Request{KeepAnswer: true})
	if rec.Status != record.OK || rec.InputTokens != 4 || rec.OutputTokens != 2 || rec.CachedTokens != 1 || rec.FirstToken != 0 || rec.LastToken == 0 || rec.Answer.Content != "a b" || rec.FinishReason != "stop" {
		t.Errorf("%+v", rec)
	}
}

func TestCancelled(t *testing.T) {
	c := clientOf(t, serveRaw(t, func(_ net.Conn, in *bufio.Reader) bool { _, _ = in.Peek(1); return false }), Options{Stream: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	var rec record.Record
	c.Do(ctx, &record.Request{ID: "a", Body: []byte("{}")}, &rec)
	if rec.Status != record.Cancelled {
		t.Errorf("%s %s", rec.Status, rec.Error)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{BaseURL: "127.0.0.1:8000", API: "chat"}, {BaseURL: "http://a/v1", API: "embeddings"}, {BaseURL: "ftp://a/v1", API: "chat"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
