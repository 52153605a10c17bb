package generator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
	"sparkrun/targets"
)

// FuzzFrame: whatever comes is frames that are the same when they are sent again, and an
// error; announced lengths take no memory.
func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, numbers(kindPong, 1, 2)), message(kindStop, stop{true})))
	f.Add([]byte{0xff, 0xff, 0xff, 0x03, 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReader(bytes.NewReader(b))
		var sent []byte
		for {
			fr, err := readFrame(in, maxFrame)
			if err != nil {
				break
			}
			sent = appendFrame(sent, fr)
		}
		if !bytes.HasPrefix(b, sent) {
			t.Errorf("%x became %x", b, sent)
		}
	})
}

// FuzzRun: a run that hears anything from its worker ends, with or without it, and what it
// hands on is of a phase that there is.
func FuzzRun(f *testing.F) {
	rec := record.Record{ID: "x", Scheduled: 5, Worker: 1}
	var good []byte
	for _, fr := range []frame{message(kindReady, struct{}{}), message(kindWant, want{64}), {kindRecords, rec.Append(nil)}, message(kindOver, over{0, load.PhaseOutcome{End: 9}}), message(kindLive, live{}), message(kindDone, done{})} {
		good = appendFrame(good, fr)
	}
	f.Add(good)
	f.Add(appendFrame(nil, numbers(kindPong, 1<<40, 0)))
	f.Add(appendFrame(nil, message(kindOver, over{Phase: 7})))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &rank{hello: hello{Size: 1}, conn: newConn(nowhere{}), clock: record.NewClock(), out: make(chan frame, control), gone: make(chan struct{}), quiet: make(chan struct{}), events: make(chan event, 1024)}
		kept := &records{}
		j := &joint{
			Config: load.Config{Clock: r.clock, Recorder: kept, Live: &load.Live{}, Phases: []plan.Phase{{Duration: time.Second, Rate: level(3), Arrival: "constant"}, {Requests: 3, Concurrency: level(1)}}},
			ranks:  []*rank{r}, rules: load.NewRules(nil), phase: -1,
		}
		m := &member{rank: r, of: 1}
		j.members = []*member{m}
		j.dealing = newDealing(cards{}, j.ranks, 0)
		r.offset.add(probe{0, 5, 10})
		j.begin(1000)
		in := bufio.NewReader(bytes.NewReader(b))
		for r.reason() == nil && m.done == nil {
			fr, err := readFrame(in, maxFrame)
			if err != nil {
				r.lose(err)
				break
			}
			if fr.kind == kindPong {
				_ = r.pong(fr, 10)
				continue
			}
			j.take(m, fr)
			if len(j.closed) == 0 && j.isOver(0) {
				j.close()
			}
		}
		close(r.quiet)
		j.losses()
		if m.here() && m.done == nil {
			t.Error("it is neither lost nor done")
		}
		for len(j.closed) <= j.phase {
			j.close()
		}
		if _, err := j.outcome(); err == nil && m.done == nil {
			t.Error("there is an outcome without a worker")
		}
		if slices.ContainsFunc(kept.all, func(r record.Record) bool { return r.Phase != 0 }) {
			t.Errorf("%+v", kept.all)
		}
	})
}

// nowhere is a stream that takes everything and has nothing.
type nowhere struct{}

func (nowhere) Read([]byte) (int, error)    { return 0, io.EOF }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }

// FuzzServe: a worker that is told anything answers or ends.
func FuzzServe(f *testing.F) {
	j := job{API: "chat", Phases: []plan.Phase{{Name: "p", Requests: 1, Concurrency: level(1)}}, ThinkTimes: make([]parameters, 1), Share: load.Share{Size: 1}, URLs: []string{"http://127.0.0.1:1/v1"}}
	var good []byte
	for _, fr := range []frame{numbers(kindPing, 0), message(kindJob, j), deal(0, []byte(`{"id":"0","turns":[{"user":"hi"}]}`)), deal(-1, nil), message(kindStart, start{0, 1}), message(kindEnd, end{0}), message(kindStop, stop{true})} {
		good = appendFrame(good, fr)
	}
	f.Add(good)
	f.Add(appendFrame(nil, message(kindJob, job{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		w := &Worker{
			Lookup: func(name string) (string, bool) {
				return map[string]string{rankVariable: "0", sizeVariable: "1"}[name], name != dialVariable
			},
			Stdin: io.NopCloser(bytes.NewReader(b)), Stdout: writeCloser{&out}, Version: "test",
			Doer: func(_ targets.Endpoint, _ *plan.Cell, clock record.Clock) (load.Client, error) {
				return nil, errors.New("no server")
			},
			Forced: func(string, int, int) map[string]any { return nil },
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = w.Serve(ctx)
		if ctx.Err() != nil {
			t.Error("it did not end with its stream")
		}
		if !bytes.HasPrefix(out.Bytes(), []byte(greeting)) {
			t.Errorf("it does not greet: %q", out.Bytes())
		}
	})
}

type writeCloser struct{ io.Writer }

func (writeCloser) Close() error { return nil }
