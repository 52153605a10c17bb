package wire

import (
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

	// Spare connections are opened ahead, so that one is open when a request is sent: up to
	// Connections in all, as many as a closed loop sends at once; with Grow a few more than
	// are in use, whatever that is, for an open loop.
	Connections int
	Grow        bool
}

// Client sends requests; it is safe for concurrent use. Connections are kept open
// between requests where the server keeps them open.
type Client struct {
	Options
	address string // host:port
	host    string
	secure  bool
	head    []byte // of every request, up to the X-Request-Id's value
	pool    pool
	loops   loops
	stamps  stamper // that every reader begins with
}

// dialTimeout is for set-up where the request has no timeout of its own.
const dialTimeout = 30 * time.Second

// New makes a client and begins to open its spare connections.
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
	c.stamps = stamper{clock: o.Clock, now: bothClocks(o.Clock)}
	c.pool.begin(c)
	return c, nil
}

// Close closes the idle connections. No request may be under way.
func (c *Client) Close() error {
	c.pool.close()
	c.loops.close()
	return nil
}

// Do sends one request, not before the time for which it is scheduled, and fills its
// record. Called ahead of that time it has a connection by then.
func (c *Client) Do(ctx context.Context, r *record.Request, rec *record.Record) {
	rec.Start(r)
	x := &exchange{at: r.Scheduled, idle: int64(r.IdleTimeout), body: r.Body}
	if r.Timeout > 0 {
		x.deadline = max(c.Clock.Now(), r.Scheduled) + int64(r.Timeout)
	}
	head := slices.Concat(c.head, []byte(r.ID), []byte("\r\nContent-Length: "), strconv.AppendInt(nil, int64(len(r.Body)), 10), []byte("\r\n\r\n"))
	for fresh := false; ; fresh = true {
		conn, err := c.pool.take(ctx, x.deadline, fresh)
		if err != nil {
			rec.Sent = c.Clock.Now()
			c.fail(ctx, rec, err, stageConnect)
			return
		}
		rec.Connect += conn.setUp
		rec.RoundTrip = conn.roundTrip
		reused := conn.waited
		x.head, x.body, x.err = head, r.Body, nil
		x.answer.begin(rec, r.KeepAnswer)
		if rec.AskedMax > 0 && rec.Events == nil {
			rec.Events = make([]record.Event, 0, min(rec.AskedMax+2, mostEvents))
		}
		conn.exchange(ctx, x)
		rec.Sent = x.sent
		c.pool.give(conn, x.answer.reusable() && ctx.Err() == nil)
		if x.answer.began || !reused || ctx.Err() != nil || isTimeout(x.err) {
			c.judge(ctx, x, r, rec)
			return
		}
		// A connection that waited and turned out closed is the server's promise broken
		// (facts/engine-streams.md, finding 1), not a failed request: no byte of an answer has
		// come. Once, on a new connection.
		rec.Reconnects++
	}
}

// mostEvents is how many events a record has room for from the start, however many are
// asked for; where more come it grows by doubling.
const mostEvents = 1024

var errTimeout = errors.New("the request's timeout is over")

func isTimeout(err error) bool {
	return errors.Is(err, errTimeout) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// dial sets up a connection until the given clock time, 0 for a time of its own.
func (c *Client) dial(ctx context.Context, deadline int64) (*conn, error) {
	start := c.Clock.Now()
	limit := dialTimeout
	if deadline != 0 {
		limit = time.Duration(deadline - start)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	made, err := c.connect(ctx)
	if err != nil {
		if deadline != 0 && errors.Is(context.Cause(ctx), errTimeout) {
			err = errTimeout
		}
		return nil, err
	}
	made.setUp = c.Clock.Now() - start
	return made, nil
}

func (c *Client) connect(ctx context.Context) (*conn, error) {
	raw, err := c.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	made := &conn{roundTrip: roundTrip(raw)}
	if !c.secure {
		made.link, err = c.loops.adopt(raw, c.stamps, func() { c.pool.bury(made) })
		if err != nil {
			raw.Close()
			return nil, err
		}
		if made.link != nil {
			return made, nil
		}
	}
	s := newStamped(raw, c.stamps)
	p := &plain{s, s}
	made.link = p
	if c.secure {
		cfg := &tls.Config{}
		if c.TLS != nil {
			cfg = c.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = c.host
		}
		t := tls.Client(s, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			s.Close()
			return nil, &tlsError{err}
		}
		p.top = t
	}
	return made, nil
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

// judge fills the record with what came of an exchange.
func (c *Client) judge(ctx context.Context, x *exchange, r *record.Request, rec *record.Record) {
	a := &x.answer
	rec.Stamp = x.stamp()
	if a.began {
		rec.StreamEnd = max(a.last, rec.Sent)
	}
	var err error
	switch {
	case !a.began:
		c.fail(ctx, rec, x.err, stageSent)
		return
	case a.code == 0:
		err = a.err
	case a.code != http.StatusOK:
		rec.Status = record.Status(a.code)
		rec.Error = fmt.Sprintf("HTTP %s: %s", a.status, ErrorMessage(a.body))
	case a.events:
		err = stream(a, rec)
	default:
		err = whole(a, r, rec)
	}
	if err != nil {
		if isTimeout(x.err) {
			err = x.err
		}
		c.fail(ctx, rec, err, stageAnswer)
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
	case errors.Is(err, errTimeout):
		rec.Status, rec.Error = record.Timeout, where+": "+err.Error()
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

// stream judges a streamed answer.
func stream(a *answer, rec *record.Record) error {
	p := &a.stream
	err := a.err
	var bad *malformed
	if errors.As(err, &bad) {
		return err
	}
	p.end(a.last)
	if p.keep {
		rec.Answer = p.text.answer()
	}
	if p.done || (a.whole && rec.FinishReason != "") {
		err = nil // what comes after [DONE] is not ours to judge
	} else if a.whole && rec.Status == record.OK {
		rec.Status, rec.Error = record.Truncated, "the stream ended with neither a finish reason nor [DONE]"
	}
	if err != nil || rec.Status != record.OK {
		return err
	}
	return p.finish()
}

// whole judges an answer that is not streamed: its one time is the arrival of its last byte.
func whole(a *answer, r *record.Request, rec *record.Record) error {
	if !a.whole {
		return a.err
	}
	rec.LastToken = a.last
	var out struct {
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
	if err := json.Unmarshal(a.body, &out); err != nil {
		return &malformed{fmt.Errorf("the answer is not JSON: %w", err)}
	}
	if len(out.Error) > 0 && string(out.Error) != "null" {
		rec.Status, rec.Error = record.StreamError, "an error inside HTTP 200: "+ErrorMessage(a.body)
		return nil
	}
	text := false
	for i := range out.Choices {
		ch := &out.Choices[i]
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
	if err := usage(out.Usage, rec); err != nil {
		return err
	}
	if !text && rec.OutputTokens <= 0 {
		rec.Status, rec.Error = record.Empty, "the answer has no token"
	}
	return nil
}
