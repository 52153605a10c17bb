package dataset

import (
	"errors"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// TestDealtConversationsAreTheSame: who gets conversations dealt sends byte for byte what
// who has the dataset sends.
func TestDealtConversationsAreTheSame(t *testing.T) {
	file := map[string]string{"f": `[{"id": "a", "messages": [{"role": "user", "content": "one \"two\""}, {"role": "assistant", "content": "three four"},
		{"role": "user", "content": "fünf"}, {"role": "assistant", "content": "six"}]}, {"id": "b", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}]`}
	set, err := read(plan.Dataset{Type: "conversations", Values: map[string]any{"path": "f"}}, file)
	if err != nil {
		t.Fatal(err)
	}
	c := cell()
	c.Conversations.Verify = true
	o := Options{Cell: c, Model: "m", Tokenizer: words{}, Forced: func(least, most int) map[string]any { return map[string]any{"min_tokens": least} }}
	source, err := set.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	far := OpenDealt(o, source.Deal)
	for i := range int64(2) {
		a, errA := source.Open(i)
		b, errB := far.Open(i)
		if errA != nil || errB != nil || a.Turns() != b.Turns() {
			t.Fatalf("conversation %d: %v, %v", i, errA, errB)
		}
		answer := &record.Record{InputTokens: 5, OutputTokens: 2, Answer: record.Answer{Content: "its own"}}
		for prev := (*record.Record)(nil); ; prev = answer {
			var ra, rb record.Request
			moreA, errA := a.Next(prev, &ra)
			moreB, errB := b.Next(prev, &rb)
			if errA != nil || errB != nil || moreA != moreB {
				t.Fatalf("%v, %v; %v, %v", moreA, moreB, errA, errB)
			}
			if !moreA {
				break
			}
			if string(ra.Body) != string(rb.Body) || ra.ConversationID != rb.ConversationID || ra.DatasetRow != rb.DatasetRow || ra.Expected != rb.Expected || ra.System != rb.System || ra.AskedMin != rb.AskedMin {
				t.Errorf("%s\n%s\n%+v\n%+v", ra.Body, rb.Body, ra, rb)
			}
		}
	}
	if _, err := far.Open(2); !errors.Is(err, load.ErrExhausted) {
		t.Errorf("after the last: %v", err)
	}
}
