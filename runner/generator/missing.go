package generator

import (
	"fmt"
	"slices"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
)

// sameDue is by how much the two ends may differ on when an arrival is due: the last bit of
// a float where one of them fuses multiplications.
const sameDue = int64(time.Microsecond)

// missing records the arrivals of an open-loop phase that ended at a time and that a lost
// member should have sent: what nobody sent is unsent, and of what it may have sent before
// it was lost nobody knows what came. It returns how many these are. In a closed loop there
// is no list of what should have been sent.
func (j *joint) missing(m *member, phase int, ended int64) (n int64) {
	p := &j.Phases[phase]
	if p.Rate == nil {
		return 0
	}
	share := load.Share{Rank: m.Rank, Size: m.of}
	arrivals := load.Arrivals(p, phase, j.Seed, share)
	begun := j.starts[phase]
	known := m.dues(phase)
	for k := int64(0); ; k++ {
		at, ok := arrivals.Next(0, k)
		due := begun + int64(at)
		if !ok || due >= ended || j.limited(phase, share, k) {
			return n
		}
		if i, _ := slices.BinarySearch(known, int64(at)-sameDue); i < len(known) && known[i] <= int64(at)+sameDue {
			continue
		}
		n++
		rec := record.Record{}
		rec.Start(&record.Request{
			ID: fmt.Sprintf("%sw%d-lost-%d-%d", j.IDPrefix, m.Rank, phase, k), Phase: phase, Worker: -1, Conversation: -1, DatasetRow: -1,
			HistoryTokens: -1, AskedMin: -1, AskedMax: -1, Scheduled: due,
		})
		rec.Rank = int32(m.Rank)
		if rec.Status, rec.Error = record.Unsent, fmt.Sprintf("not sent: %s was lost", m.name(m.of)); due < m.lostAt {
			rec.Status, rec.Error = record.Cancelled, fmt.Sprintf("what came of it is not known: %s was lost", m.name(m.of))
		}
		j.Recorder.Record(&rec)
	}
}

// limited reports whether arrival k of a rank is beyond what its phase sends.
func (j *joint) limited(phase int, s load.Share, k int64) bool {
	p := &j.Phases[phase]
	return p.Requests > 0 && k >= s.Quota(p, p.Requests) || p.Conversations > 0 && p.RateOf == "conversations" && k >= s.Quota(p, p.Conversations)
}

// dues are when the requests of a phase that a member has sent were due, in order.
func (m *member) dues(phase int) []int64 {
	var all []int64
	for i, of := range m.dueOf {
		if of == phase {
			all = append(all, m.due[i])
		}
	}
	slices.Sort(all)
	return all
}
