package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A record on its way between processes is its integers as varints in the order of
// integers(), then its value of a search as eight bytes, its texts each with its length
// before it, and its events: how many, then the gap of each to the one before, the first
// to Sent. Both ends are the same version of this program, so there is no other.

// integers are all whole numbers of a record, the codec's fields in their order.
func (rec *Record) integers(each func(get int64) int64) {
	at := func(p *int64) { *p = each(*p) }
	count := func(p *int32) { *p = int32(each(int64(*p))) }
	whole := func(p *int) { *p = int(each(int64(*p))) }
	flag := func(p *bool) {
		n := int64(0)
		if *p {
			n = 1
		}
		*p = each(n) == 1
	}
	whole(&rec.Phase)
	whole(&rec.SearchStep)
	count(&rec.Rank)
	count(&rec.Replica)
	count(&rec.Worker)
	at(&rec.Conversation)
	at(&rec.DatasetRow)
	count(&rec.Turn)
	flag(&rec.LastTurn)
	count(&rec.HistoryTokens)
	count(&rec.AskedMin)
	count(&rec.AskedMax)
	for _, p := range rec.Moments() {
		at(p)
	}
	at(&rec.Connect)
	at(&rec.RoundTrip)
	count(&rec.Reconnects)
	count(&rec.Retries)
	count(&rec.InputTokens)
	count(&rec.OutputTokens)
	count(&rec.CachedTokens)
	count(&rec.ReasoningTokens)
	count(&rec.FirstEventTokens)
	count(&rec.FirstOutTokens)
	count(&rec.ReasoningEvents)
	count(&rec.BareEvents)
	rec.TokenSource = TokenSource(each(int64(rec.TokenSource)))
	rec.Stamp = Stamp(each(int64(rec.Stamp)))
	rec.Status = Status(each(int64(rec.Status)))
	rec.Matches = Match(each(int64(rec.Matches)))
}

// texts are all texts of a record.
func (rec *Record) texts() []*string {
	return []*string{
		&rec.ID, &rec.ConversationID, &rec.FinishReason, &rec.Error, &rec.System, &rec.Prompt,
		&rec.Answer.Content, &rec.Answer.Reasoning, &rec.Answer.ToolCalls,
	}
}

// Moments are the Clock times of a record other than those of its events; 0 did not happen.
func (rec *Record) Moments() []*int64 {
	return []*int64{&rec.Scheduled, &rec.Sent, &rec.FirstEvent, &rec.FirstToken, &rec.FirstOut, &rec.LastToken, &rec.LastBare, &rec.StreamEnd}
}

// Shift moves a record to a clock that is by so many nanoseconds ahead.
func (rec *Record) Shift(ahead int64) {
	for _, p := range rec.Moments() {
		if *p != 0 {
			*p += ahead
		}
	}
	for i := range rec.Events {
		rec.Events[i].At += ahead
	}
}

// Append adds the record's bytes to b.
func (rec *Record) Append(b []byte) []byte {
	rec.integers(func(n int64) int64 { b = binary.AppendVarint(b, n); return n })
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(rec.SearchValue))
	for _, s := range rec.texts() {
		b = binary.AppendUvarint(b, uint64(len(*s)))
		b = append(b, *s...)
	}
	b = binary.AppendUvarint(b, uint64(len(rec.Events)))
	last := rec.Sent
	for _, e := range rec.Events {
		b = binary.AppendVarint(b, e.At-last)
		last = e.At
	}
	return b
}

var errShort = errors.New("a record ends in its middle")

// Read reads what Append wrote and returns what comes after it.
func (rec *Record) Read(b []byte) (rest []byte, err error) {
	*rec = Record{}
	rec.integers(func(int64) int64 {
		n, size := binary.Varint(b)
		if size <= 0 {
			err, b = errShort, nil
			return 0
		}
		b = b[size:]
		return n
	})
	if err != nil || len(b) < 8 {
		return nil, errShort
	}
	rec.SearchValue = math.Float64frombits(binary.LittleEndian.Uint64(b))
	b = b[8:]
	for _, s := range rec.texts() {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, errShort
		}
		*s, b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) { // an event has a byte at least
		return nil, errShort
	}
	b = b[size:]
	if n > 0 {
		rec.Events = make([]Event, n)
	}
	last := rec.Sent
	for i := range rec.Events {
		gap, size := binary.Varint(b)
		if size <= 0 {
			return nil, errShort
		}
		last += gap
		rec.Events[i].At, b = last, b[size:]
	}
	return b, rec.valid()
}

// valid refuses values for which nobody has a name.
func (rec *Record) valid() error {
	if int(rec.TokenSource) >= len(tokenSourceNames) || rec.Stamp > StampKernel || rec.Phase < 0 {
		return fmt.Errorf("a record has token source %d, stamp %d and phase %d", rec.TokenSource, rec.Stamp, rec.Phase)
	}
	return nil
}
