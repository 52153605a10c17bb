package wire

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sparkrun/runner/record"
)

var update = flag.Bool("update", false, "write the golden files")

// recording is an answer of a real engine as curl or a raw socket wrote it down.
type recording struct {
	name string
	head []byte // header with its empty line
	body []byte
}

// recordings are those of testdata/streams that hold one whole HTTP answer.
func recordings(t *testing.T) []recording {
	t.Helper()
	paths, err := filepath.Glob("testdata/streams/*/*.txt")
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d recordings, %v", len(paths), err)
	}
	var out []recording
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(p, "testdata/streams/"), ".txt")
		start := bytes.Index(b, []byte("HTTP/1.1 "))
		if data := bytes.Index(b, []byte("data: ")); start < 0 && data == 0 {
			out = append(out, recording{name, []byte("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked"), b})
		}
		if start < 0 || bytes.Contains(b, []byte(" ms ")) {
			continue // a body, or a table of reads
		}
		b = b[start:]
		if end := bytes.LastIndex(b, []byte("\n### curl exit")); end > 0 {
			b = b[:end]
		}
		for _, gap := range []string{"\r\n\r\n", "\n\n"} {
			if head, body, ok := bytes.Cut(b, []byte(gap)); ok && !bytes.Contains(head, []byte("\n\n")) {
				out = append(out, recording{name, head, body})
				break
			}
		}
	}
	return out
}

// raw is the answer as it was on the wire. curl took the chunks off; they are put on
// again, one an event.
func (r recording) raw() []byte {
	var b bytes.Buffer
	head := strings.ReplaceAll(strings.ReplaceAll(string(r.head), "\r\n", "\n"), "\n", "\r\n")
	chunked := strings.Contains(strings.ToLower(head), "transfer-encoding: chunked")
	body := r.body
	if !chunked && strings.Contains(head, "Content-Length: ") {
		// The file has a newline after the body, or not.
		var kept []string
		for _, l := range strings.Split(head, "\r\n") {
			if !strings.HasPrefix(l, "Content-Length") {
				kept = append(kept, l)
			}
		}
		head = strings.Join(append(kept, fmt.Sprintf("Content-Length: %d", len(body))), "\r\n")
	}
	b.WriteString(head + "\r\n\r\n")
	if !chunked || strings.HasPrefix(r.name, "dllama/") { // these still have theirs
		b.Write(body)
		return b.Bytes()
	}
	for _, event := range bytes.SplitAfter(body, []byte("\n\n")) {
		if len(event) > 0 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(event), event)
		}
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

// line is what a record says, for the golden file.
func line(rec *record.Record) string {
	return fmt.Sprintf("%s events=%d bare=%d in=%d out=%d cached=%d by=%s finish=%q content=%d reasoning=%d error=%q",
		rec.Status, len(rec.Events), rec.BareEvents, rec.InputTokens, rec.OutputTokens, rec.CachedTokens, rec.TokenSource, rec.FinishReason,
		len(rec.Answer.Content), len(rec.Answer.Reasoning), rec.Error)
}

// TestRecordings sends every recorded answer of the three engines through the client.
// testdata/streams.golden has what must come out.
func TestRecordings(t *testing.T) {
	var got strings.Builder
	for _, r := range recordings(t) {
		c := clientOf(t, rawServer(t, r.raw()), Options{Stream: true})
		rec := do(t, c, record.Request{KeepAnswer: true})
		text := line(&rec)
		text = strings.ReplaceAll(text, c.address, "SERVER")
		fmt.Fprintf(&got, "%s: %s\n", r.name, text)
	}
	golden(t, "testdata/streams.golden", got.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Fatalf("%s line %d: got\n%s\nwant\n%s", path, i+1, at(a, i), at(b, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// TestSplitAtEveryByte feeds every recorded stream in two reads, cut at every byte (the
// long ones at 150 of them): what is read must not depend on where, and what came with
// the first read must have its time.
func TestSplitAtEveryByte(t *testing.T) {
	streams := 0
	for _, r := range recordings(t) {
		if !bytes.Contains(r.body, []byte("data:")) {
			continue
		}
		streams++
		want := parse(r.body, len(r.body))
		step := 1
		if len(r.body) > 3000 {
			step = len(r.body) / 150
		}
		for cut := 0; cut <= len(r.body); cut += step {
			got := parse(r.body, cut)
			if line(&got) != line(&want) {
				t.Fatalf("%s cut at %d: %s, whole: %s", r.name, cut, line(&got), line(&want))
			}
			early := 0
			for _, e := range got.Events {
				if e.At == 1 {
					early++
				}
			}
			first := parse(r.body[:bytes.LastIndexByte(r.body[:cut], '\n')+1], cut)
			if early != len(first.Events) {
				t.Fatalf("%s cut at %d: %d events came with the first read, %d are stamped so", r.name, cut, len(first.Events), early)
			}
		}
	}
	if streams < 25 {
		t.Errorf("only %d streams", streams)
	}
}

// parse reads body in two pieces, at the times 1 and 2.
func parse(body []byte, cut int) record.Record {
	var rec record.Record
	rec.Start(&record.Request{})
	p := parser{rec: &rec, keep: true}
	cut = min(cut, len(body))
	err := p.feed(body[:cut], 1)
	if err == nil {
		err = p.feed(body[cut:], 2)
	}
	p.end(2)
	rec.Answer = p.text.answer()
	if err == nil && rec.Status == record.OK {
		err = p.finish()
	}
	if err != nil {
		rec.Status, rec.Error = record.Malformed, err.Error()
	}
	return rec
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n"), 7)
	f.Add([]byte("data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\r\n: x\r\n"), 3)
	f.Add([]byte(`data: {"error":{"message":"a"},"choices":[{"text":"\u00e9","finish_reason":"stop"}]}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		whole := parse(body, len(body))
		if cut < 0 {
			cut = -(cut + 1)
		}
		if got := parse(body, cut); line(&got) != line(&whole) {
			t.Errorf("cut at %d: %s, whole: %s", cut, line(&got), line(&whole))
		}
	})
}

// BenchmarkStream is a token event through the parser: recognised, and scanned.
func BenchmarkStream(b *testing.B) {
	event := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795450103,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}` + "\n\n")
	for _, way := range []string{"recognised", "scanned"} {
		b.Run(way, func(b *testing.B) {
			var rec record.Record
			p := parser{rec: &rec}
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				rec.Events = rec.Events[:0]
				if way == "scanned" {
					p.like.forget()
				}
				if err := p.feed(event, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
