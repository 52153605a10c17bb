package record

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// fill gives every field of a value something of its own, so that a field that the codec
// does not know comes back empty.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.String:
		v.SetString(string(rune('a'+r.IntN(26))) + "ü\n")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(r.Float64() + 1)
	case reflect.Uint8: // names of token sources and stamps
		v.SetUint(1)
	case reflect.Uint16, reflect.Int8:
		if v.CanUint() {
			v.SetUint(1 + r.Uint64N(599))
		} else {
			v.SetInt(2)
		}
	default:
		v.SetInt(1 + r.Int64N(1<<30))
	}
}

// TestEveryFieldTravels fails where a record has a field that Append leaves out.
func TestEveryFieldTravels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var rec, back Record
		fill(reflect.ValueOf(&rec).Elem(), r)
		b := append(rec.Append([]byte("before"))[len("before"):], "after"...)
		rest, err := back.Read(b)
		if err != nil || string(rest) != "after" || !reflect.DeepEqual(rec, back) {
			t.Fatalf("%v, rest %q:\n%+v\n%+v", err, rest, rec, back)
		}
	}
	none := Record{InputTokens: -1, DatasetRow: -1}
	var back Record
	if _, err := back.Read(none.Append(nil)); err != nil || !reflect.DeepEqual(none, back) {
		t.Errorf("%v: %+v", err, back)
	}
}

func TestShift(t *testing.T) {
	rec := Record{Scheduled: 100, Sent: 110, FirstToken: 150, Connect: 7, Events: []Event{{150}, {170}}}
	rec.Shift(-50)
	want := Record{Scheduled: 50, Sent: 60, FirstToken: 100, Connect: 7, Events: []Event{{100}, {120}}}
	if !reflect.DeepEqual(rec, want) {
		t.Errorf("%+v", rec)
	}
}

// FuzzRead: whatever comes is refused or is a record that is the same when it is sent again.
func FuzzRead(f *testing.F) {
	rec := Record{ID: "a-1", Sent: 5, Events: []Event{{At: 9}, {At: 8}}, TokenSource: TokensUsage}
	f.Add(rec.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec, again Record
		if _, err := rec.Read(b); err != nil {
			return
		}
		sent := rec.Append(nil)
		rest, err := again.Read(sent)
		if err != nil || len(rest) != 0 || string(again.Append(nil)) != string(sent) {
			t.Errorf("%v: %+v became %+v", err, rec, again)
		}
	})
}

func BenchmarkRecordTravels(b *testing.B) {
	rec := Record{ID: "run-1-17", Sent: 1e9, Events: make([]Event, 500)}
	for i := range rec.Events {
		rec.Events[i].At = 1e9 + int64(i)*20e6
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = rec.Append(buf[:0])
		var back Record
		if _, err := back.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
