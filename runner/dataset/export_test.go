package dataset

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// conversationsOf are all conversations of a dataset.
func conversationsOf(t *testing.T, kind, file string) (out []Conversation) {
	t.Helper()
	s, err := read(plan.Dataset{Type: kind, Values: schema.Values{"path": "f"}}, map[string]string{"f": file})
	if err != nil {
		t.Fatalf("%s: %v\n%s", kind, err, file)
	}
	for c, err := range s.Conversations(t.Context(), 1, 0, nil) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, *c)
	}
	return out
}

// TestWrittenIsRead: every format that can be written gives back what was written.
func TestWrittenIsRead(t *testing.T) {
	const file = `[{"id":"a","conversations":[{"from":"human","value":"one <b> \"two\"\n"},{"from":"gpt","value":"three four"},{"from":"human","value":"ä"},{"from":"gpt","value":"x"}]},{"id":"b","conversations":[{"from":"human","value":"c"},{"from":"gpt","value":"d"}]}]`
	want := conversationsOf(t, "sharegpt", file)
	for _, format := range Formats() {
		var b bytes.Buffer
		n, err := Write(&b, format, func(yield func(*Conversation, error) bool) {
			for i := range want {
				if !yield(&want[i], nil) {
					return
				}
			}
		})
		if err != nil || n != 2 {
			t.Errorf("%s: %d, %v", format, n, err)
			continue
		}
		if strings.Contains(b.String(), "output_tokens") {
			t.Errorf("%s: a length is written that only the server can tell: %s", format, b.String())
		}
		if got := conversationsOf(t, format, b.String()); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: wrote %s\nread %+v\nwant %+v", format, b.String(), got, want)
		}
		if kind, err := Detect("f", func(string) (io.ReadCloser, error) { return io.NopCloser(&b), nil }); err == nil && kind != format {
			t.Errorf("%s is taken for %s", format, kind)
		}
	}
	if len(Formats()) < 3 {
		t.Errorf("formats %v", Formats())
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		format string
		c      Conversation
		err    string
	}{
		{"conversations", Conversation{ID: "a", System: "s", Turns: []Turn{{"u", "a", 1}}}, `write conversation "a": it has a system message`},
		{"conversations", Conversation{ID: "a", Turns: []Turn{{"u", "", 3}}}, "turn 0 has no answer"},
		{"trace", Conversation{}, `can't be written as "trace"`},
		{"excel", Conversation{}, `dataset type "excel" is unknown`},
	} {
		_, err := Write(io.Discard, c.format, func(yield func(*Conversation, error) bool) { yield(&c.c, nil) })
		if c.format == "excel" {
			c.err = `can't be written as "excel"`
		}
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want an error with %q", c.format, err, c.err)
		}
	}
	if n, err := Write(io.Discard, "jsonl", func(yield func(*Conversation, error) bool) { yield(nil, errors.New("broken")) }); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestDetect(t *testing.T) {
	for file, want := range map[string]string{
		twoTurns: "conversations", seedFile: "conversations", gz(twoTurns): "conversations", "\ufeff" + twoTurns: "conversations",
		`[{"id":"a","conversations":[]}]`: "sharegpt", `{"id":"a","conversations":[]}`: "sharegpt",
		`{"prompt":"a"}`: "jsonl", `"a"`: "jsonl", `{"messages":[]}`: "jsonl", `{"prompt":"the conversations","conversations":1}`: "jsonl",
		mooncake: "trace", burstGPT: "trace", azure2023: "trace", zst(azure2024): "trace", "Hello\n": "lines",
	} {
		got, err := Detect("f", func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(file)), nil })
		if err != nil || got != want {
			t.Errorf("%.40q is %s, %v, want %s", file, got, err, want)
		}
	}
	if _, err := Detect("f", func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }); err == nil {
		t.Error("an empty file has a type")
	}
}

// TestMeasure by hand: three turns of 1, 2 and 6 words, answers of 3 and 1.
func TestMeasure(t *testing.T) {
	all := func(yield func(*Conversation, error) bool) {
		_ = yield(&Conversation{Turns: []Turn{{"a", "b c d", 3}, {"e f", "g", 0}}}, nil) &&
			yield(&Conversation{System: "s t", Turns: []Turn{{"h i j k", "", 0}}}, nil)
	}
	s, err := Measure(t.Context(), all, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := s.Text(&text); err != nil {
		t.Fatal(err)
	}
	want := `2 conversations, 3 turns; words are taken for tokens (--url asks a server)
                  n  mean  p50  p90  p99  max
           turns  2   1.5    2    2    2    2
    input_tokens  3   2.7    2    4    5    5
   output_tokens  2   2.0    2    3    3    3
  request_tokens  3   4.0    5    6    6    6
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
}
