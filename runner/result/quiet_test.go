package result

import (
	"testing"

	"sparkrun/runner/record"
)

// TestSilence: windows from 1 000 to 3 000 ms; by hand.
func TestSilence(t *testing.T) {
	unkept := stream(1100, 3, 1200, 1300)
	unkept.Events = nil
	for _, c := range []struct {
		name    string
		records []record.Record
		want    int64 // ms, -1 for unknown
	}{
		{"nothing was sent", nil, 0},
		{"one request, 100 ms to its first token", []record.Record{stream(1500, 3, 1600, 1650, 1700)}, 100},
		{"silence between two tokens", []record.Record{stream(1100, 3, 1150, 2250, 2300)}, 1100},
		{"idle in between is no silence", []record.Record{stream(1100, 2, 1150, 1200), stream(2500, 2, 2600, 2700)}, 100},
		{"sent in the middle of a bin: from the bin's end", []record.Record{stream(1550, 2, 1900, 1950)}, 300},
		{"from before the window", []record.Record{stream(500, 2, 600, 1700)}, 700},
		{"to its end", []record.Record{stream(2000, 2, 2100, 5000)}, 900},
		{"another stream breaks the silence", []record.Record{stream(1100, 3, 1150, 2250, 2300), stream(1100, 3, 1200, 1700, 2200)}, 500},
		{"arrivals in any order", []record.Record{stream(1100, 3, 1160, 1190, 1700), stream(1100, 3, 1110, 1150, 1700)}, 510},
		{"one that fails counts too", []record.Record{func() record.Record { r := stream(1000, 2, 1050, 2900); r.Status = record.Reset; return r }()}, 1850},
		{"events that were not kept", []record.Record{unkept}, -1},
	} {
		s := newSilence(1000*msec, 3000*msec)
		for i := range c.records {
			s.record(&c.records[i])
		}
		if ns, known := s.longest(); known != (c.want >= 0) || known && ns != c.want*msec {
			t.Errorf("%s: %v ms, known %v; want %v", c.name, ns/msec, known, c.want)
		}
	}
}
