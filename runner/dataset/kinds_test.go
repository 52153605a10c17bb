package dataset

import (
	"errors"
	"reflect"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// samples are a small dataset of each kind; a new kind needs one.
var samples = map[string]struct {
	values schema.Values
	file   string
}{
	"synthetic":     {schema.Values{"turns": uniform(1, 3), "input_tokens": uniform(20, 40), "output_tokens": constant(5), "conversations": int64(3)}, ""},
	"conversations": {schema.Values{"path": "f"}, twoTurns},
	"sharegpt":      {schema.Values{"path": "f"}, `[{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b c"},{"from":"human","value":"d"}]}]`},
	"jsonl":         {schema.Values{"path": "f"}, "\"a\"\n\"b\"\n"},
	"trace":         {schema.Values{"path": "f"}, mooncake},
	"lines":         {schema.Values{"path": "f"}, "a\nb\n"},
}

// TestKinds: what every dataset type must do.
func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		sample, ok := samples[k.Name]
		if !ok {
			t.Errorf("%s: this test has no sample of it", k.Name)
			continue
		}
		if k.Doc == "" {
			t.Errorf("%s has no Doc", k.Name)
		}
		when := -1
		for i, a := range k.Attrs {
			if a.Doc == "" || a.Default == nil && a.DefaultDoc == "" {
				t.Errorf("%s: attribute %s has no Doc or no default", k.Name, a.Name)
			}
			if a.Name == "when_exhausted" {
				when = i
			}
		}
		if when < 0 {
			t.Errorf("%s has no when_exhausted", k.Name)
			continue
		}
		for _, w := range k.Attrs[when].Values {
			sample.values["when_exhausted"] = schema.Plain(w)
			s, err := read(plan.Dataset{Type: k.Name, Values: sample.values}, map[string]string{"f": sample.file})
			if err != nil {
				t.Errorf("%s: %v", k.Name, err)
				break
			}
			size := s.Size(5)
			all, err := s.play(play{ctx: t.Context(), seed: 5, salt: 6, server: words{}})
			if err != nil {
				t.Errorf("%s: %v", k.Name, err)
				break
			}
			other, _ := s.play(play{ctx: t.Context(), seed: 5, salt: 6, server: words{}})
			n, turns := int64(0), map[int64]int64{}
			for ; n < size.Conversations; n++ {
				c, err := all.script(n)
				if err != nil {
					t.Fatalf("%s: conversation %d of %d: %v", k.Name, n, size.Conversations, err)
				}
				turns[int64(len(c.turns))]++
				same, err := other.script(n)
				if err != nil || !reflect.DeepEqual(c, same) {
					t.Errorf("%s: conversation %d is not the same the second time", k.Name, n)
				}
				if c.id == "" || len(c.turns) == 0 || c.turns[0].user == "" {
					t.Errorf("%s: conversation %d is %+v", k.Name, n, c)
				}
			}
			if !reflect.DeepEqual(turns, size.Turns) {
				t.Errorf("%s: turns %v, and its size says %v", k.Name, turns, size.Turns)
			}
			next, err := all.script(n)
			if (w == "stop") != errors.Is(err, load.ErrExhausted) || w != "stop" && err != nil {
				t.Errorf("%s: when_exhausted = %s: %v", k.Name, w, err)
			}
			if first, _ := all.script(0); err == nil && (w == "repeat") != reflect.DeepEqual(next, first) {
				t.Errorf("%s: when_exhausted = %s: after the last comes %+v", k.Name, w, next)
			}
		}
	}
}
