package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sparkrun/runner/record"
)

// scanned reads a body with the full scan alone: the pattern of the event before is
// forgotten for every line.
func scanned(body []byte, at func(line int) int64) record.Record {
	var rec record.Record
	rec.Start(&record.Request{})
	p := parser{rec: &rec, keep: true}
	var err error
	for i, line := range bytes.SplitAfter(body, []byte("\n")) {
		p.like.forget()
		if err = p.feed(line, at(i)); err != nil {
			break
		}
	}
	return judged(&p, err)
}

// known reads it as the client does.
func known(body []byte, at func(line int) int64) record.Record {
	var rec record.Record
	rec.Start(&record.Request{})
	p := parser{rec: &rec, keep: true}
	var err error
	for i, line := range bytes.SplitAfter(body, []byte("\n")) {
		if err = p.feed(line, at(i)); err != nil {
			break
		}
	}
	return judged(&p, err)
}

func judged(p *parser, err error) record.Record {
	if err == nil {
		p.end(1 << 40)
		err = p.finish()
	}
	if err != nil {
		p.rec.Status, p.rec.Error = record.Malformed, err.Error()
	}
	p.rec.Answer = p.text.answer()
	return *p.rec
}

// same fails where the short way and the scan see different things in a body.
func same(t *testing.T, name string, body []byte) {
	t.Helper()
	at := func(line int) int64 { return int64(line) + 1 }
	a, b := fmt.Sprintf("%+v", known(body, at)), fmt.Sprintf("%+v", scanned(body, at))
	if a != b {
		t.Fatalf("%s: the pattern gives\n%.2000s\nthe scan\n%.2000s\nof %.3000q", name, a, b, body)
	}
}

// TestPatternIsTheScan: on every recorded stream, and on streams made of their lines with
// bytes changed, added, taken out, and lines repeated, the short way to recognise a token
// event gives exactly what the scan gives.
func TestPatternIsTheScan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, `\"`, "\n", "\r", `,`, `{`, `}`, `[`, `""`, `null`, `"content":`, `"finish_reason":"stop"`, `"usage":{"completion_tokens":3}`, `"error":{"message":"x"}`, `\u00e9`, "\xff", " "}
	streams := 0
	for _, rec := range recordings(t) {
		if !bytes.Contains(rec.body, []byte("data:")) {
			continue
		}
		streams++
		same(t, rec.name, rec.body)
		body := rec.body[:min(len(rec.body), 6000)]
		for range 40 {
			lines := bytes.SplitAfter(bytes.Clone(body), []byte("\n"))
			for range 1 + r.IntN(3) {
				i := r.IntN(len(lines))
				l := lines[i]
				if len(l) == 0 {
					continue
				}
				at := r.IntN(len(l))
				switch r.IntN(4) {
				case 0:
					lines[i] = append(append(bytes.Clone(l[:at]), pieces[r.IntN(len(pieces))]...), l[at:]...)
				case 1:
					lines[i] = append(bytes.Clone(l[:at]), l[at+1:]...)
				case 2:
					l[at] = byte(r.IntN(256))
				default:
					lines[i] = bytes.Repeat(l, 2)
				}
			}
			same(t, rec.name, bytes.Join(lines, nil))
		}
	}
	if streams < 25 {
		t.Errorf("only %d streams", streams)
	}
}

func FuzzPattern(f *testing.F) {
	f.Add([]byte(strings.Repeat(token, 3) + last))
	f.Add([]byte(token + strings.ReplaceAll(token, `"a"`, `"\"\\"`) + strings.ReplaceAll(token, `"a"`, `""`) + token))
	f.Add([]byte(strings.ReplaceAll(token+token, "content", "reasoning") + token + "data: [DONE]\n\n" + token))
	f.Fuzz(func(t *testing.T, body []byte) { same(t, "fuzz", body) })
}

// TestPatternMatches: the short way is taken at all.
func TestPatternMatches(t *testing.T) {
	var rec record.Record
	p := parser{rec: &rec}
	if err := p.feed([]byte(token), 1); err != nil {
		t.Fatal(err)
	}
	for next, want := range map[string]bool{
		token: true,
		strings.ReplaceAll(token, `"a"`, `"\"b\\"`):                     true,
		strings.ReplaceAll(token, `"a"`, `""`):                          false,
		strings.ReplaceAll(token, `"a"`, "\"a\nb\""):                    false,
		strings.ReplaceAll(token, "}}", "},"+`"finish_reason":"stop"}`): false,
	} {
		if _, _, ok := p.like.match([]byte(next)); ok != want {
			t.Errorf("%q matches: %v, want %v", next, ok, want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`a\n\u00e9\ud83d\ude00\ud83dx\/`)
	f.Fuzz(func(t *testing.T, inside string) {
		var want string
		if json.Unmarshal([]byte(`"`+inside+`"`), &want) != nil {
			return
		}
		if got := unescape([]byte(inside)); got != want {
			t.Errorf("%q is %q, encoding/json reads %q", inside, got, want)
		}
	})
}

// fed reads a whole HTTP answer in pieces of the given sizes.
func fed(raw []byte, sizes func() int) record.Record {
	var rec record.Record
	rec.Start(&record.Request{})
	x := &exchange{sent: 1}
	x.answer.begin(&rec, true)
	ended := false
	for len(raw) > 0 && !ended {
		n := min(len(raw), sizes())
		ended = x.take(raw[:n], 5, true, 5)
		raw = raw[n:]
	}
	if !ended {
		x.stop(io.EOF)
	}
	c := &Client{}
	c.judge(context.Background(), x, &record.Request{KeepAnswer: true}, &rec)
	return rec
}

// TestAnswerInPieces: an answer is the same in whatever pieces it comes.
func TestAnswerInPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, rec := range recordings(t) {
		raw := rec.raw()
		whole := fed(raw, func() int { return len(raw) })
		ways := map[string]func() int{"a few bytes": func() int { return 1 + r.IntN(7) }, "hundreds": func() int { return 1 + r.IntN(900) }}
		if len(raw) < 20_000 {
			ways["single bytes"] = func() int { return 1 }
		}
		for name, way := range ways {
			if got := fed(raw, way); line(&got) != line(&whole) {
				t.Errorf("%s in %s: %s, whole: %s", rec.name, name, line(&got), line(&whole))
			}
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(good+chunk(token)+chunk(last)+"0\r\nX: y\r\n\r\n"), 3)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}x"), 1)
	f.Add([]byte("HTTP/1.0 200 OK\n\n{}"), 2)
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		whole := fed(raw, func() int { return len(raw) })
		if got := fed(raw, func() int { return 1 + size&15 }); line(&got) != line(&whole) {
			t.Errorf("in pieces %s, whole %s", line(&got), line(&whole))
		}
	})
}

// TestBothReaders: whether a loop reads or a goroutine, the records are the same.
func TestBothReaders(t *testing.T) {
	var dialer net.Dialer
	for _, r := range recordings(t) {
		url := rawServer(t, r.raw())
		looped := do(t, clientOf(t, url, Options{Stream: true}), record.Request{KeepAnswer: true})
		plain := do(t, clientOf(t, url, Options{Stream: true, DialContext: hidden(dialer.DialContext)}), record.Request{KeepAnswer: true})
		if line(&looped) != line(&plain) {
			t.Errorf("%s: %s by the loop, %s by a goroutine", r.name, line(&looped), line(&plain))
		}
		if plain.Stamp != record.StampUser {
			t.Errorf("%s: stamped by the %s without a socket", r.name, plain.Stamp)
		}
	}
}

// TestPipeInVirtualTime: a connection that is no socket works, in virtual time, too.
func TestPipeInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(t, "http://sim/v1", Options{Stream: true, DialContext: pipeTo(func(conn net.Conn) {
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			time.Sleep(3 * time.Second)
			fmt.Fprint(conn, good+chunk(token))
			time.Sleep(2 * time.Second)
			fmt.Fprint(conn, chunk(`data: {"choices":[{"delta":{},"finish_reason":"stop"}]}`+"\n\n"))
			time.Sleep(time.Second)
			fmt.Fprint(conn, chunk(last)+"0\r\n\r\n")
		})})
		rec := do(t, c, record.Request{})
		if rec.Status != record.OK || rec.FirstToken-rec.Sent != int64(3*time.Second) || rec.LastBare-rec.Sent != int64(5*time.Second) || rec.StreamEnd-rec.Sent != int64(6*time.Second) {
			t.Errorf("%s %s: first token after %v, finish after %v, end after %v", rec.Status, rec.Error, time.Duration(rec.FirstToken-rec.Sent), time.Duration(rec.LastBare-rec.Sent), time.Duration(rec.StreamEnd-rec.Sent))
		}
		for name, r := range map[string]record.Request{"timeout": {Timeout: 4 * time.Second}, "idle_timeout": {IdleTimeout: time.Second}} {
			if rec := do(t, c, r); rec.Status.String() != name {
				t.Errorf("%s: %s", name, rec.Status)
			}
		}
		time.Sleep(time.Minute) // for the servers that still sleep
	})
}
