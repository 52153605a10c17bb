package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/schema"
)

// Options describe a server to talk to.
type Options struct {
	BaseURL     string // ends in /v1
	API         string // "chat" or "completions"
	Stream      bool
	Key         schema.Text
	Headers     map[string]schema.Text
	TLS         *tls.Config // may be nil
	Clock       record.Clock
	UserAgent   string
	DialContext func(ctx context.Context, network, address string) (net.Conn, error) // may be nil
}

// Client sends requests; it is safe for concurrent use. Connections are kept open
// between requests where the server keeps them open.
type Client struct {
	Options
	address string // host:port
	host    string
	secure  bool
	head    []byte // of every request, up to the X-Request-Id's value

	mu   sync.Mutex
	idle []*conn
}

// Limits of the client.
const (
	maxErrorBody = 64 << 10
	maxBody      = 64 << 20         // an answer that is not streamed
	maxLine      = 8 << 20          // one stream event
	doneGrace    = time.Second      // for the end of a response after [DONE]
	dialTimeout  = 30 * time.Second // where the request has no timeout of its own
)

// New makes a client; nothing is dialled yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("server url %q: write it as http://HOST:PORT/v1", o.BaseURL)
	}
	path, ok := map[string]string{"chat": "/chat/completions", "completions": "/completions"}[o.API]
	if !ok {
		return nil, fmt.Errorf("api %q: use chat or completions", o.API)
	}
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{}).DialContext
	}
	c := &Client{Options: o, secure: u.Scheme == "https", host: u.Hostname()}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[c.secure]
	}
	c.address = net.JoinHostPort(c.host, port)
	var h bytes.Buffer
	fmt.Fprintf(&h, "POST %s HTTP/1.1\r\nHost: %s\r\n", strings.TrimRight(u.EscapedPath(), "/")+path, u.Host)
	header := http.Header{}
	header.Set("User-Agent", o.UserAgent)
	header.Set("Content-Type", "application/json")
	header.Set("Accept", map[bool]string{true: "text/event-stream", false: "application/json"}[o.Stream])
	if k := o.Key.Reveal(); k != "" {
		header.Set("Authorization", "Bearer "+k)
	}
	for k, v := range o.Headers {
		header.Set(k, v.Reveal())
	}
	if err := header.Write(&h); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	h.WriteString("X-Request-Id: ")
	c.head = h.Bytes()
	return c, nil
}

// Close closes the idle connections.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
	return nil
}

// Do sends one request and fills its record.
func (c *Client) Do(ctx context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Timeout, errTimeout)
		defer cancel()
	}
	head := slices.Concat(c.head, []byte(r.ID), []byte("\r\nContent-Length: "), strconv.AppendInt(nil, int64(len(r.Body)), 10), []byte("\r\n\r\n"))
	fresh := false
	for {
		conn, reused, err := c.connect(ctx, rec, fresh)
		if err != nil {
			rec.Sent = c.Clock.Now()
			c.fail(ctx, rec, err, stageConnect)
			return
		}
		again := c.exchange(ctx, conn, r, rec, head, reused)
		if !again {
			return
		}
		// A connection that was kept open and turned out closed is the server's promise
		// broken (facts/engine-streams.md, finding 1), not a failed request: no byte of an
		// answer has come. Once, on a new connection.
		rec.Reconnects++
		fresh = true
	}
}

var (
	errTimeout = errors.New("timeout")
	errIdle    = errors.New("idle timeout")
)

// connect takes an idle connection that is still open, or dials.
func (c *Client) connect(ctx context.Context, rec *record.Record, fresh bool) (conn *conn, reused bool, err error) {
	for !fresh {
		c.mu.Lock()
		n := len(c.idle)
		if n == 0 {
			c.mu.Unlock()
			break
		}
		conn, c.idle = c.idle[n-1], c.idle[:n-1]
		c.mu.Unlock()
		if conn.stamped.open() {
			return conn, true, nil
		}
		conn.Close()
	}
	start := c.Clock.Now()
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := c.DialContext(dial, "tcp", c.address)
	if err != nil {
		return nil, false, err
	}
	s := newStamped(raw, c.Clock)
	conn = newConn(s)
	if c.secure {
		cfg := &tls.Config{}
		if c.TLS != nil {
			cfg = c.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = c.host
		}
		t := tls.Client(s, cfg)
		if err := t.HandshakeContext(dial); err != nil {
			s.Close()
			return nil, false, &tlsError{err}
		}
		conn.over(t)
	}
	rec.Connect += c.Clock.Now() - start
	return conn, false, nil
}

type tlsError struct{ error }

func (e *tlsError) Unwrap() error { return e.error }

// stage is how far an exchange came, for the name of its failure.
type stage int

const (
	stageConnect stage = iota
	stageSent          // no byte of the answer yet
	stageAnswer
)

// exchange sends the request on conn and reads the answer. again is true where a reused
// connection was closed before any byte came back.
func (c *Client) exchange(ctx context.Context, conn *conn, r *record.Request, rec *record.Record, head []byte, reused bool) (again bool) {
	stop := context.AfterFunc(ctx, conn.stamped.cut)
	keep := false
	defer func() {
		if !stop() {
			keep = false // the deadline may be in the past
		}
		if !keep {
			conn.Close()
			return
		}
		c.mu.Lock()
		c.idle = append(c.idle, conn)
		c.mu.Unlock()
	}()
	conn.stamped.begin(r.IdleTimeout)
	rec.Sent = c.Clock.Now()
	buffers := net.Buffers{head, r.Body}
	_, err := buffers.WriteTo(conn.top)
	if err == nil {
		_, err = conn.reader.Peek(1)
	}
	if err != nil {
		if reused && ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
		c.fail(ctx, rec, err, stageSent)
		return false
	}
	resp, err := readResponse(conn.reader)
	if err != nil {
		c.fail(ctx, rec, fmt.Errorf("read the answer's header: %w", err), stageAnswer)
		return false
	}
	kernel := conn.stamped.kernel
	switch {
	case resp.StatusCode != http.StatusOK:
		err = c.refused(resp, rec)
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream"):
		err = c.stream(conn, resp.Body, r, rec)
	default:
		err = c.whole(conn, resp.Body, r, rec)
	}
	if rec.StreamEnd == 0 {
		rec.StreamEnd = max(conn.stamped.last, rec.Sent)
	}
	if kernel && conn.stamped.kernel {
		rec.Stamp = record.StampKernel
	}
	if err != nil {
		c.fail(ctx, rec, err, stageAnswer)
		return false
	}
	keep = !resp.Close && conn.ended && conn.reader.Buffered() == 0
	return false
}

// readResponse reads the header, past 1xx ones.
func readResponse(r *bufio.Reader) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
	}
}

// fail names what went wrong, unless a name is there already.
func (c *Client) fail(ctx context.Context, rec *record.Record, err error, at stage) {
	if rec.StreamEnd == 0 {
		rec.StreamEnd = c.Clock.Now()
	}
	if rec.Status != record.OK {
		return
	}
	where := map[stage]string{stageConnect: "connect to ", stageSent: "wait for the answer of ", stageAnswer: "read the answer of "}[at] + c.address
	var secure *tlsError
	var bad *malformed
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		rec.Status, rec.Error = record.Timeout, where+": the request's timeout is over"
	case ctx.Err() != nil:
		rec.Status, rec.Error = record.Cancelled, where+": cut by the end of the run"
	case errors.Is(err, os.ErrDeadlineExceeded) && at != stageConnect:
		rec.Status, rec.Error = record.IdleTimeout, where+": nothing came for the whole idle_timeout"
	case errors.As(err, &secure):
		rec.Status, rec.Error = record.TLSError, where+": "+err.Error()
	case at == stageConnect:
		rec.Status, rec.Error = record.ConnectError, where+": "+err.Error()
	case errors.As(err, &bad):
		rec.Status, rec.Error = record.Malformed, where+": "+err.Error()
	case errors.Is(err, io.ErrUnexpectedEOF) && at == stageAnswer:
		rec.Status, rec.Error = record.Truncated, where+": the connection ended in the middle of it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		rec.Status, rec.Error = record.Reset, where+": the server closed the connection"
	default:
		rec.Status, rec.Error = record.Malformed, where+": "+err.Error()
	}
}

// malformed is an answer that is not what the API promises.
type malformed struct{ error }

func (e *malformed) Unwrap() error { return e.error }

// refused reads the error of an answer that is not 200.
func (c *Client) refused(resp *http.Response, rec *record.Record) error {
	rec.Status = record.Status(resp.StatusCode)
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	rec.Error = fmt.Sprintf("HTTP %s: %s", resp.Status, ErrorMessage(b))
	return err
}

// ErrorMessage is the sentence in an API error's body, or the body's beginning.
func ErrorMessage(b []byte) string {
	var e struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  any             `json:"detail"`
	}
	if json.Unmarshal(b, &e) == nil {
		var in struct {
			Message string `json:"message"`
		}
		var s string
		switch {
		case json.Unmarshal(e.Error, &in) == nil && in.Message != "":
			return in.Message
		case json.Unmarshal(e.Error, &s) == nil && s != "":
			return s
		case e.Message != "":
			return e.Message
		case e.Detail != nil:
			return fmt.Sprint(e.Detail)
		}
	}
	s := strings.Join(strings.Fields(string(b)), " ")
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	if s == "" {
		return "no message"
	}
	return s
}

// stream reads a streamed answer.
func (c *Client) stream(conn *conn, body io.Reader, r *record.Request, rec *record.Record) error {
	p := parser{rec: rec, keep: r.KeepAnswer}
	if rec.AskedMax > 0 {
		rec.Events = make([]record.Event, 0, min(rec.AskedMax+2, 1<<16))
	}
	buf := make([]byte, 16<<10)
	var err error
	for err == nil {
		var n int
		n, err = body.Read(buf)
		if n > 0 {
			if bad := p.feed(buf[:n], conn.stamped.last); bad != nil {
				return bad
			}
			if p.done && err == nil {
				conn.stamped.hurry(doneGrace)
			}
		}
	}
	conn.ended = err == io.EOF
	p.end(conn.stamped.last)
	if p.done || (err == io.EOF && rec.FinishReason != "") {
		err = nil // what comes after [DONE] is not ours to judge
	}
	if err == io.EOF && rec.Status == record.OK {
		rec.Status, rec.Error = record.Truncated, "the stream ended with neither a finish reason nor [DONE]"
	}
	if err == io.EOF {
		err = nil
	}
	if err != nil || rec.Status != record.OK {
		return err
	}
	return p.finish()
}

// whole reads an answer that is not streamed: its one time is the arrival of its last byte.
func (c *Client) whole(conn *conn, body io.Reader, r *record.Request, rec *record.Record) error {
	b, err := io.ReadAll(io.LimitReader(body, maxBody))
	if err != nil {
		return err
	}
	conn.ended = true
	rec.LastToken = conn.stamped.last
	rec.StreamEnd = rec.LastToken
	var a struct {
		Error   json.RawMessage `json:"error"`
		Choices []struct {
			Text    string `json:"text"`
			Message struct {
				Content          string          `json:"content"`
				Reasoning        string          `json:"reasoning"`
				ReasoningContent string          `json:"reasoning_content"`
				ToolCalls        json.RawMessage `json:"tool_calls"`
			} `json:"message"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
		Usage json.RawMessage `json:"usage"`
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return &malformed{fmt.Errorf("the answer is not JSON: %w", err)}
	}
	if len(a.Error) > 0 && string(a.Error) != "null" {
		rec.Status, rec.Error = record.StreamError, "an error inside HTTP 200: "+ErrorMessage(b)
		return nil
	}
	text := false
	for i := range a.Choices {
		ch := &a.Choices[i]
		rec.FinishReason = ch.FinishReason
		ans := record.Answer{Content: ch.Message.Content + ch.Text, Reasoning: ch.Message.Reasoning + ch.Message.ReasoningContent}
		if t := string(ch.Message.ToolCalls); t != "null" && t != "[]" {
			ans.ToolCalls = t
		}
		text = text || ans != (record.Answer{})
		if r.KeepAnswer && i == 0 {
			rec.Answer = ans
		}
	}
	if err := usage(a.Usage, rec); err != nil {
		return err
	}
	if !text && rec.OutputTokens <= 0 {
		rec.Status, rec.Error = record.Empty, "the answer has no token"
	}
	return nil
}
