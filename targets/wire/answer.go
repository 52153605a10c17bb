package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"sparkrun/runner/record"
)

// answer reads one HTTP answer. It is fed with bytes as they arrive, whoever read them,
// and hands the body to an event-stream parser or keeps it:
//
//	head     until an empty line; heads of 1xx are dropped
//	size     the line of a chunk's size
//	chunk    left bytes of a chunk
//	gap      the line end behind a chunk
//	trailer  lines behind the last chunk, until an empty one
//	counted  left bytes of a body with Content-Length
//	open     a body that ends with the connection
//	ended    nothing more is taken
type answer struct {
	state   answerState
	began   bool   // a byte has come
	pending []byte // of a head, or of a line that is not whole
	left    int64

	code   int    // of the HTTP status; 0 until the head is whole
	status string // "200 OK"
	events bool   // the body is an event stream
	closes bool   // the server says that it closes the connection
	whole  bool   // the answer came to its own end
	extra  bool   // bytes came behind it
	err    error  // why it ended before

	body   []byte // of an answer that is not an event stream
	stream parser
	last   int64 // when the last bytes came
}

type answerState uint8

const (
	inHead answerState = iota
	inSize
	inChunk
	inGap
	inTrailer
	inCounted
	inOpen
	atEnd
)

// Limits of what an answer may be.
const (
	maxHead      = 1 << 20
	maxErrorBody = 64 << 10
	maxBody      = 64 << 20 // an answer that is not streamed
	maxLine      = 8 << 20  // one stream event
)

// begin readies a for the answer to a request with the given record.
func (a *answer) begin(rec *record.Record, keep bool) {
	*a = answer{stream: parser{rec: rec, keep: keep}}
}

// feed takes bytes that arrived at the given time and reports whether the answer has ended.
func (a *answer) feed(b []byte, at int64) (ended bool) {
	a.began, a.last = true, at
	for len(b) > 0 && a.state != atEnd {
		switch a.state {
		case inChunk, inCounted, inOpen:
			part := b
			if a.state != inOpen && int64(len(part)) > a.left {
				part = part[:a.left]
			}
			if !a.take(part, at) {
				break
			}
			b = b[len(part):]
			if a.state == inOpen {
				break
			}
			if a.left -= int64(len(part)); a.left == 0 {
				if a.state == inCounted {
					a.end(nil)
				} else {
					a.state = inGap
				}
			}
		default:
			if rest, ok := a.usual(b); ok {
				b = rest
				break
			}
			b = a.line(b)
		}
	}
	a.extra = a.extra || len(b) > 0
	return a.state == atEnd
}

// usual takes what servers put around a chunk, a bare size and an empty line, when it has come
// whole: that is most of an answer's lines.
func (a *answer) usual(b []byte) (rest []byte, ok bool) {
	if len(a.pending) > 0 || a.state != inSize && a.state != inGap {
		return nil, false
	}
	i, n := 0, int64(0)
	if a.state == inSize {
		for i < len(b) && i < 8 {
			digit, ok := hexDigit(b[i])
			if !ok {
				break
			}
			n = n<<4 | int64(digit)
			i++
		}
	}
	if len(b) < i+2 || b[i] != '\r' || b[i+1] != '\n' {
		return nil, false
	}
	switch {
	case a.state == inGap:
		a.state = inSize
	case n > 0:
		a.state, a.left = inChunk, n
	default:
		return nil, false // the last one, or none
	}
	return b[i+2:], true
}

// line takes a line of what is not body and returns what is behind it.
func (a *answer) line(b []byte) []byte {
	i := bytes.IndexByte(b, '\n') + 1
	if i == 0 {
		a.pending = append(a.pending, b...)
		if len(a.pending) > maxHead {
			a.end(fmt.Errorf("a line of the answer's frame is longer than %d bytes", maxHead))
		}
		return nil
	}
	line := b[:i]
	if a.state == inHead {
		a.headLine(line)
		return b[i:]
	}
	if len(a.pending) > 0 {
		a.pending = append(a.pending, line...)
		line = a.pending
	}
	line = bytes.TrimRight(line, " \t\r\n")
	switch a.state {
	case inSize:
		a.size(line)
	case inGap:
		a.state = inSize
		if len(line) > 0 {
			a.end(errChunk)
		}
	case inTrailer:
		if len(line) == 0 {
			a.end(nil)
		}
	}
	a.pending = a.pending[:0]
	return b[i:]
}

var errChunk = errors.New("its chunked encoding is broken")

// size takes a chunk's size; what is behind a semicolon says nothing to us.
func (a *answer) size(line []byte) {
	line, _, _ = bytes.Cut(line, []byte(";"))
	line = bytes.TrimRight(line, " \t")
	n := int64(0)
	for _, c := range line {
		digit, ok := hexDigit(c)
		if !ok {
			a.end(errChunk)
			return
		}
		n = n<<4 | int64(digit)
	}
	if len(line) == 0 || len(line) > 15 {
		a.end(errChunk)
		return
	}
	if a.left = n; n == 0 {
		a.state = inTrailer
	} else {
		a.state = inChunk
	}
}

// headLine takes a line of the head. What is no HTTP is found out at its first line.
func (a *answer) headLine(line []byte) {
	first := bytes.IndexByte(a.pending, '\n') < 0
	begun := len(a.pending) > 0 && a.pending[len(a.pending)-1] != '\n'
	a.pending = append(a.pending, line...)
	blank := !first && !begun && len(bytes.TrimRight(line, "\r\n")) == 0
	// A line that came in pieces can be blank, too: "\r" and "\n".
	blank = blank || (begun && bytes.HasSuffix(a.pending, []byte("\n\r\n")))
	switch {
	case blank, first && !bytes.HasPrefix(a.pending, []byte("HTTP/")):
		a.head()
	case len(a.pending) > maxHead:
		a.end(fmt.Errorf("read the answer's header: it is longer than %d bytes", maxHead))
	}
}

var headReaders = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// post is what ReadResponse must know of the request.
var post = &http.Request{Method: http.MethodPost}

// head parses a whole head, or as much as there is of a broken one.
func (a *answer) head() {
	r := headReaders.Get().(*bufio.Reader)
	defer headReaders.Put(r)
	r.Reset(bytes.NewReader(a.pending))
	resp, err := http.ReadResponse(r, post)
	if err != nil {
		a.end(fmt.Errorf("read the answer's header: %w", err))
		return
	}
	a.pending = a.pending[:0]
	if resp.StatusCode < 200 {
		return // more heads follow
	}
	a.code, a.status, a.closes = resp.StatusCode, resp.Status, resp.Close
	a.events = a.code == http.StatusOK && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	switch {
	case len(resp.TransferEncoding) > 0:
		a.state = inSize
	case resp.ContentLength > 0:
		a.state, a.left = inCounted, resp.ContentLength
	case resp.ContentLength == 0:
		a.end(nil)
	default:
		a.state = inOpen
	}
}

// take hands on a piece of the body; false where the answer ended with it.
func (a *answer) take(b []byte, at int64) bool {
	if a.events {
		if err := a.stream.feed(b, at); err != nil {
			a.end(err)
			return false
		}
		return true
	}
	limit := maxBody
	if a.code != http.StatusOK {
		limit = maxErrorBody
	}
	if len(a.body)+len(b) > limit {
		b = b[:limit-len(a.body)]
		a.body = append(a.body, b...)
		a.end(errTooLong)
		return false
	}
	a.body = append(a.body, b...)
	return true
}

var errTooLong = fmt.Errorf("it is longer than %d bytes", maxBody)

// end ends the answer: at its own end, or because of an error.
func (a *answer) end(err error) {
	if a.state != atEnd {
		a.state, a.err, a.whole = atEnd, err, err == nil
	}
}

// stop ends an answer whose connection has ended (io.EOF) or failed.
func (a *answer) stop(err error) {
	switch {
	case err != io.EOF || !a.began:
	case a.state == inOpen:
		a.closes = true
		err = nil
	case a.state == inHead && len(a.pending) > 0:
		a.head()
		err = io.ErrUnexpectedEOF
	default:
		err = io.ErrUnexpectedEOF
	}
	a.end(err)
}

// reusable reports whether the connection can take another request.
func (a *answer) reusable() bool { return a.whole && !a.closes && !a.extra }
