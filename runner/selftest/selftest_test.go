package selftest

import (
	"math"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/record"
)

const ms = int64(time.Millisecond)

// Two streams of three tokens: reported 0.5 and 0.25 ms after the first left, and one
// token of the second stream 2 ms too late, which makes one gap too long and none too short.
func TestCompareIsReportedMinusTrue(t *testing.T) {
	epoch := int64(1_000_000 * ms)
	trace := `{"id":"a","accepted_ns":1,"events_ns":[1000010000000,1000040000000,1000070000000]}
{"id":"b","accepted_ns":1,"events_ns":[1000020000000,1000050000000,1000081000000]}
`
	truth, err := ReadTrace(strings.NewReader(trace))
	if err != nil {
		t.Fatal(err)
	}
	stream := func(id string, sent int64, at ...int64) record.Record {
		r := record.Record{ID: id, Status: record.OK, Scheduled: sent - ms/4, Sent: sent, FirstToken: at[0], LastToken: at[len(at)-1], StreamEnd: at[len(at)-1] + ms, Stamp: record.StampKernel}
		for _, a := range at {
			r.Events = append(r.Events, record.Event{At: a})
		}
		return r
	}
	m := &Measured{Load: Load{Streams: 2}, epoch: epoch, cpu: 2 * time.Second, gc: 0.5, records: []record.Record{
		stream("a", 1*ms, 10*ms+ms/2, 40*ms+ms/2, 70*ms+ms/2),
		stream("b", 2*ms, 20*ms+ms/4, 50*ms+ms/4, 83*ms+ms/4),
		{ID: "c", Status: record.Timeout},
	}}
	l, err := m.Compare(truth)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"ttft p50", l.TTFTErrorMS.P50, 0.25}, {"ttft max", l.TTFTErrorMS.Max, 0.5},
		{"itl p50", l.ITLErrorMS.P50, 0}, {"itl max", l.ITLErrorMS.Max, 2},
		{"simulator late", l.ServerLateMS.Max, 1}, {"send lag", l.SendLagMS.P50, 0.25},
		{"events", float64(l.Events), 6}, {"failed", float64(l.Failed), 1}, {"held", float64(l.Held), 2},
		{"events per CPU second", l.EventsPerCPUS, 3}, {"GC", l.GCShare, 0.25}, {"kernel stamps", l.KernelStampShare, 1},
		// Both are open from 20.25 to 70.5 ms: b's first two tokens and a's second.
		{"events per second", math.Round(l.EventsPerS), math.Round(3 / 0.05025)},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	delete(truth, "b")
	if _, err := m.Compare(truth); err == nil || !strings.Contains(err.Error(), "request b") {
		t.Errorf("a stream the simulator never sent: %v", err)
	}
}

func TestLimitNeedsBothPaces(t *testing.T) {
	level := func(streams int, together bool, ttft float64) Level {
		return Level{Streams: streams, Together: together, Held: streams, EventsPerS: float64(streams) * 30, TTFTErrorMS: Spread{P99: ttft}}
	}
	failed := level(64, true, 0.1)
	failed.Failed = 1
	for _, c := range []struct {
		name   string
		levels []Level
		want   int
	}{
		{"all good", []Level{level(64, false, 0.1), level(512, false, 0.1), level(64, true, 0.1), level(512, true, 0.9)}, 512},
		{"together is late", []Level{level(64, false, 0.1), level(512, false, 0.1), level(64, true, 0.1), level(512, true, 1)}, 64},
		{"a request failed", []Level{level(64, false, 0.1), failed}, 0},
	} {
		r := NewResult("test", Machine{}, false, time.Time{}, c.levels)
		if r.Limit.Streams != c.want || r.Limit.EventsPerS != float64(c.want)*30 {
			t.Errorf("%s: %+v, want %d streams", c.name, r.Limit, c.want)
		}
	}
}

func TestResultHoldsForItsMachine(t *testing.T) {
	dir, here := t.TempDir(), Machine{Host: "spark-1", Cores: 20}
	if l, err := Newest(dir, here); l != nil || err != nil {
		t.Fatalf("before the first: %v, %v", l, err)
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if _, err := Save(dir, NewResult("test", here, false, at, []Level{{Streams: 64, Held: 64, EventsPerS: 2133}})); err != nil {
		t.Fatal(err)
	}
	l, err := Newest(dir, here)
	if err != nil || l == nil || *l != (Limit{Streams: 64, EventsPerS: 2133, Time: at}) {
		t.Errorf("kept %+v, %v", l, err)
	}
	if l, err := Newest(dir, Machine{Host: "spark-1", Cores: 10}); l != nil || err != nil {
		t.Errorf("other cores: %v, %v", l, err)
	}
}

func TestReadTraceNamesTheLine(t *testing.T) {
	if _, err := ReadTrace(strings.NewReader("{}\n{\"id\":")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
}
