package result

import (
	"time"

	"sparkrun/runner/record"
)

// quietBin is how finely silence is looked for; what is found is exact.
const quietBin = 100 * time.Millisecond

// silence finds the longest stretch of a window in which requests were in flight and no
// token arrived: a server that pauses shows here even where every single stream's stall is
// within what is usual. It keeps the first and last arrival of each bin, so that its memory
// grows with the window and not with the events.
type silence struct {
	start, end  int64
	first, last []int64 // arrivals of each bin, 0 for none
	flight      []int32 // at each bin's start: the change of how many requests are in flight
	unknown     bool    // an answer's events were not kept, or it did not come as a stream
}

func newSilence(start, end int64) *silence {
	bins := int((end-start)/int64(quietBin)) + 1
	return &silence{start: start, end: end, first: make([]int64, bins), last: make([]int64, bins), flight: make([]int32, bins+1)}
}

func (s *silence) bin(at int64) int { return int((at - s.start) / int64(quietBin)) }

// record notes a request, ok or not.
func (s *silence) record(rec *record.Record) {
	if rec.Sent == 0 {
		return
	}
	s.inFlight(rec.Sent, max(rec.StreamEnd, rec.LastToken))
	if len(rec.Events) == 0 && rec.LastToken >= s.start && rec.Sent < s.end {
		s.unknown = s.unknown || rec.LastToken != 0
	}
	for i := range rec.Events {
		s.arrived(rec.Events[i].At)
	}
}

// arrived notes a token.
func (s *silence) arrived(at int64) {
	if at < s.start || at >= s.end {
		return
	}
	i := s.bin(at)
	if s.first[i] == 0 || at < s.first[i] {
		s.first[i] = at
	}
	s.last[i] = max(s.last[i], at)
}

// inFlight notes a request that waited for tokens from sent to its end.
func (s *silence) inFlight(sent, end int64) {
	if end <= s.start || sent >= s.end || end <= sent {
		return
	}
	// A bin's start is in flight where it lies between the two.
	from := 0
	if sent > s.start {
		from = s.bin(sent-1) + 1
	}
	to := len(s.flight) - 1
	if end < s.end {
		to = s.bin(end) + 1
	}
	if from < to {
		s.flight[from]++
		s.flight[to]--
	}
}

// longest is the longest silence in ns. One that began with nothing in flight counts from
// the end of the last bin that began so. It is not known where an answer has no events.
func (s *silence) longest() (ns int64, known bool) {
	longest, since, n := int64(0), s.start, int32(0)
	for i := range s.first {
		n += s.flight[i]
		if n == 0 {
			since = min(s.end, s.start+int64(i+1)*int64(quietBin))
		}
		if s.first[i] != 0 {
			longest = max(longest, s.first[i]-since)
			since = s.last[i]
		}
	}
	return max(longest, s.end-since), !s.unknown
}
