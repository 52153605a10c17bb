package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sparkrun/runner/load"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// gz and zst pack a text.
func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zst(s string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(s), nil))
}

const twoTurns = `[{"id": "c1", "messages": [
   {"role": "user", "content": "Name three rivers."},
   {"role": "assistant", "content": "Rhine, Rhone, Ebro."},
   {"role": "user", "content": "Which is longest?"},
   {"role": "assistant", "content": "The Rhine."}]}]`

// TestFiles: what each format takes, as "user>answer=asked|…" per conversation.
func TestFiles(t *testing.T) {
	for name, c := range map[string]struct{ kind, file, want string }{
		"conversations":    {"conversations", twoTurns, "c1: Name three rivers.>Rhine, Rhone, Ebro.=3|Which is longest?>The Rhine.=2"},
		"packed":           {"conversations", gz(twoTurns), "c1: Name three rivers.>Rhine, Rhone, Ebro.=3|Which is longest?>The Rhine.=2"},
		"zstd":             {"conversations", zst(twoTurns), "c1: Name three rivers.>Rhine, Rhone, Ebro.=3|Which is longest?>The Rhine.=2"},
		"byte order mark":  {"conversations", "\ufeff" + twoTurns, "c1: Name three rivers.>Rhine, Rhone, Ebro.=3|Which is longest?>The Rhine.=2"},
		"prompts":          {"jsonl", `{"prompt":"a","output_tokens":4}` + "\r\n\r\n" + `"b c"` + "\n" + `{"text_input":"d","id":7}`, "0: a>=4; 2: b c>=0; 7: d>=0"},
		"messages":         {"jsonl", `{"messages":[{"role":"developer","content":"S"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},{"role":"assistant","content":"x y"},{"role":"user","content":"d"}],"output_tokens":9}`, "0: S/bc>x y=2|d>=9"},
		"list of messages": {"jsonl", `[{"messages":[{"role":"system","content":"S"},{"role":"user","content":"b"}]}, {"prompt":"c"}]`, "0: S/b>=0; 0: c>=0"},
		"sharegpt":         {"sharegpt", `[{"id":"q_0","conversations":[{"from":"system","value":"S"},{"from":"human","value":"a"},{"from":"gpt","value":"b c d"}]}, {"conversations":[{"from":"user","value":"e"}]}]`, "q_0: S/a>b c d=3; 0: e>=0"},
		"sharegpt lines":   {"sharegpt", `{"id":1,"conversations":[{"from":"human","value":"a"},{"from":"chatgpt","value":"b"}]}` + "\n", "1: a>b=1"},
		"lines":            {"lines", "one\r\n\n two ", "0: one>=0; 2:  two >=0"},
	} {
		if got := playAll(t, c.kind, c.file, nil); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// playAll plays a file whose words are tokens and prints its conversations.
func playAll(t *testing.T, kind, file string, v schema.Values) string {
	t.Helper()
	values := schema.Values{"path": "f"}
	for k, x := range v {
		values[k] = x
	}
	s, err := read(plan.Dataset{Type: kind, Values: values}, map[string]string{"f": file})
	if err != nil {
		return err.Error()
	}
	all, err := s.play(play{ctx: t.Context(), seed: 1, salt: 2, server: words{}})
	if err != nil {
		return err.Error()
	}
	var out []string
	for i := int64(0); ; i++ {
		c, err := all.script(i)
		if errors.Is(err, load.ErrExhausted) {
			return strings.Join(out, "; ")
		}
		if err != nil {
			return err.Error()
		}
		text := c.id + ": "
		if c.system != "" {
			text += c.system + "/"
		}
		for k, u := range c.turns {
			if k > 0 {
				text += "|"
			}
			text += fmt.Sprintf("%s>%s=%d", u.user, u.answer, u.asked)
		}
		out = append(out, text)
	}
}

// TestBrokenFiles: each says the file, the place and what was expected.
func TestBrokenFiles(t *testing.T) {
	conversation := func(messages string) string { return "[\n{\"id\":\"a\",\"messages\":[" + messages + "]}]" }
	for name, c := range map[string]struct{ kind, file, err string }{
		"bad JSON in a line":        {"jsonl", `{"prompt":"a"}` + "\n" + `{"prompt": }`, "f: line 2: invalid character '}'"},
		"bad JSON in a list":        {"conversations", "[{\"id\":\"a\",\n\"messages\":[\n{\"role\" \"user\"}]}]", "f: line 3: invalid character '\"'"},
		"number for a prompt":       {"jsonl", `{"prompt":3}`, "f: line 1: prompt must be a string, there is a number"},
		"list of numbers":           {"conversations", "[\n1]", `f: line 2: conversation 0 begins with '1': an object is expected`},
		"neither prompt nor":        {"jsonl", `{"prompt":"a"}` + "\n" + `{"question":"a"}`, `f: line 2: it has neither "prompt" nor "messages"`},
		"empty prompt":              {"jsonl", `{"prompt":""}`, "f: line 1: the prompt is empty; set skip_invalid = true"},
		"negative length":           {"jsonl", `{"prompt":"a","output_tokens":-1}`, "f: line 1: output_tokens is -1: it must be from 0"},
		"image":                     {"jsonl", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}`, `f: line 1: a message has a part of type "image_url": only text can be sent`},
		"unknown role":              {"jsonl", `{"messages":[{"role":"robot","content":"a"}]}`, `f: line 1: message 1 has the role "robot": system, user or assistant is expected`},
		"system in the middle":      {"jsonl", `{"messages":[{"role":"user","content":"a"},{"role":"system","content":"a"}]}`, "f: line 1: message 2 is a system's: it must come before the user's first"},
		"two of the user":           {"jsonl", `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"a"}]}`, "f: line 1: message 2 is the user's, as the one before it"},
		"no conversation":           {"jsonl", "\n", "f: the file is empty"},
		"empty list":                {"conversations", "[]", "f: the file has no conversation"},
		"empty file":                {"conversations", "", "f: the file is empty"},
		"not UTF-8":                 {"jsonl", `{"prompt":"a"}` + "\n{\"prompt\":\"caf\xe9\"}", "f: line 2 is not UTF-8 (byte 0xe9): convert the file"},
		"not UTF-8 in a list":       {"sharegpt", "[\n{\"conversations\":[\n{\"from\":\"human\",\"value\":\"\xff\"}]}]", "f: line 3 is not UTF-8 (byte 0xff)"},
		"truncated gzip":            {"conversations", gz(strings.Repeat(twoTurns, 200))[:90], "the gzip data ends early: the file is truncated"},
		"truncated gzip header":     {"jsonl", gz("x")[:5], "f: the gzip data ends early"},
		"truncated zstd":            {"jsonl", zst(strings.Repeat(`{"prompt":"a"}`+"\n", 9))[:20], "the zstd data ends early"},
		"broken gzip":               {"jsonl", gz(`{"prompt":"a"}`)[:30] + "xxxxxxxxxxxxx", "the gzip data is broken"},
		"truncated list":            {"conversations", twoTurns[:len(twoTurns)-1], "f: line 5: the file ends inside its list, after 1 conversations: it is truncated"},
		"truncated conversation":    {"conversations", twoTurns[:80], "f: line 2: the file ends inside conversation 0, which begins in line 1"},
		"no list":                   {"conversations", "hello", "f: line 1: the file begins with 'h': a JSON list is expected"},
		"text after the list":       {"conversations", twoTurns + "\nx", "f: line 6: after the list's end there is 'x'"},
		"no comma":                  {"sharegpt", `[{"conversations":[{"from":"human","value":"a"}]} {}]`, "f: line 1: after conversation 0 there is '{': a comma"},
		"comma at the end":          {"sharegpt", `[{"conversations":[{"from":"human","value":"a"}]},]`, "f: line 1: the list ends after a comma"},
		"odd role":                  {"conversations", conversation(`{"role":"human","content":"a"},{"role":"assistant","content":"b"}`), `f: conversation 0 (line 2): message 1 of "a" has the role "human": "user" is expected`},
		"answer first":              {"conversations", conversation(`{"role":"assistant","content":"a"},{"role":"user","content":"b"}`), `f: conversation 0 (line 2): message 1 of "a" has the role "assistant": "user" is expected`},
		"odd number":                {"conversations", conversation(`{"role":"user","content":"a"}`), `f: conversation 0 (line 2): "a" has 1 messages: an even number is expected`},
		"empty conversation":        {"conversations", conversation(``), `f: conversation 0 (line 2): "a": it is empty: a conversation has at least one message of the user`},
		"more than role, content":   {"conversations", conversation(`{"role":"user","content":"a","name":"b"},{"role":"assistant","content":"b"}`), `f: line 2: a message must be an object with "role" and "content", both strings, and nothing else`},
		"null message":              {"conversations", conversation(`null,null`), `f: line 2: conversation "a": message 1: a message must be an object`},
		"no id":                     {"conversations", `[{"messages":[]}]`, `f: line 1: the conversation has no "id": a string is expected`},
		"id that is a number":       {"conversations", `[{"id":3,"messages":[]}]`, `f: line 1: id must be a string, there is a number`},
		"no messages":               {"conversations", `[{"id":"a"}]`, `f: line 1: conversation "a" has no "messages": a list is expected`},
		"id twice":                  {"conversations", twoTurns[:len(twoTurns)-1] + "," + twoTurns[1:], `f: conversation 1 has the id "c1" of conversation 0: ids must differ`},
		"sharegpt as conversations": {"conversations", `[{"id":"a","conversations":[]}]`, `f: line 1: conversation "a" has no "messages": a list is expected (a record with "conversations": set type = "sharegpt")`},
		"jsonl as sharegpt":         {"sharegpt", `{"prompt":"a"}`, `a list of {"from", "value"} is expected (a record with "prompt": set type = "jsonl")`},
		"chat as conversations":     {"conversations", `[{"messages":[]}]`, `a string is expected (a record with "messages": set type = "jsonl")`},
		"trace as jsonl":            {"jsonl", `{"timestamp": 0, "input_length": 9, "output_length": 1}`, `neither "prompt" nor "messages" (a record with "input_length": set type = "trace")`},
		"conversations as sharegpt": {"sharegpt", twoTurns, `f: line 1: it has no "conversations": a list of {"from", "value"} is expected`},
		"from nobody":               {"sharegpt", `[{"conversations":[{"value":"a"}]}]`, `f: line 1: message 1 must have "from" and "value", both strings`},
		"unknown from":              {"sharegpt", `[{"conversations":[{"from":"cat","value":"a"}]}]`, `f: conversation 0 (line 1): message 1 is from "cat": human, user, gpt, assistant or system is expected`},
		"empty in sharegpt":         {"sharegpt", "[\n\n{\"conversations\":[]}]", "f: conversation 0 (line 3): it is empty: a conversation has at least one message of the user; set skip_invalid = true to leave out such conversations"},
		"gpt first":                 {"sharegpt", `{"conversations":[{"from":"gpt","value":"a"}]}`, "f: line 1: message 1 is the assistant's, and no user's is before it: a conversation begins with the user"},
	} {
		if got := playAll(t, c.kind, c.file, nil); !strings.Contains(got, c.err) || !strings.HasPrefix(got, "f: ") || strings.HasPrefix(got, "f: f: ") {
			t.Errorf("%s: %s\nwant an error with\n%s", name, got, c.err)
		}
	}
	if got := playAll(t, "sharegpt", `[{"conversations":[]},{"id":"b","conversations":[{"from":"gpt","value":"a"}]}, {"id":"c","conversations":[{"from":"human","value":"a"}]}]`, schema.Values{"skip_invalid": true}); got != "c: a>=0" {
		t.Errorf("skip_invalid: %s", got)
	}
	if got := playAll(t, "sharegpt", `[{"conversations":[]}]`, schema.Values{"skip_invalid": true}); !strings.Contains(got, "all of its 1 conversations are invalid") {
		t.Errorf("skip_invalid with none left: %s", got)
	}
	if _, err := read(plan.Dataset{Type: "jsonl", Values: schema.Values{"path": "g"}}, nil); err == nil || !strings.Contains(err.Error(), "no file g") {
		t.Errorf("missing file: %v", err)
	}
}

func TestBrokenGeneratorFiles(t *testing.T) {
	const good = `{"filetype":"generate_conversations","num_conversations":3,"prompt_input":{"num_turns":{"distribution":"constant","value":6},"num_tokens":{"distribution":"uniform","min":5,"max":9}},"prompt_output":{"num_tokens":{"distribution":"constant","value":4}}}`
	if got := playAll(t, "conversations", good, nil); strings.Count(got, "CONV_ID_") != 3 {
		t.Fatal(got)
	}
	for _, c := range []struct{ from, to, err string }{
		{"generate_conversations", "x", `filetype is "x": the file must be a list of conversations`},
		{`"num_conversations":3`, `"num_conversations":0`, "num_conversations must be 1 or more"},
		{`"num_conversations":3`, `"num_conversations":99999999`, "99999999 conversations: 1000000 are the most"},
		{`"num_conversations":3`, `"num_conversations":"3"`, "line 1: num_conversations must be a number, there is a string"},
		{`"num_conversations":3`, `"num_conversations":3,"text_files":["no.txt"]`, "no file no.txt"},
		{`"num_conversations":3`, `"num_conversations":3,"text_files":[]`, "text_files is empty"},
		{`"prompt_input"`, `"x"`, "prompt_input is missing"},
		{`"num_turns"`, `"x"`, "prompt_input.num_turns is missing"},
		{`"num_tokens":{"distribution":"constant","value":4}`, ``, "prompt_output.num_tokens is missing"},
		{`"value":6`, `"max":6`, "prompt_input.num_turns: constant needs value"},
		{`"value":6`, `"value":99999`, "conversation 0 has over 10000 messages"},
		{`"value":4`, `"value":1e9`, "conversation 0 has a message of 1000000000 tokens: give the distribution a max"},
		{`"min":5`, `"min":0`, "prompt_input.num_tokens: min is 0, it must be above 0"},
		{`"min":5`, `"min":10`, "prompt_input.num_tokens: min is 10, above max, which is 9"},
		{`"distribution":"uniform"`, `"distribution":"weird"`, `prompt_input.num_tokens: distribution "weird" is none of constant, uniform, zipf, poisson and lognormal`},
		{`"distribution":"uniform"`, `"distribution":"zipf","alpha":1`, "alpha is 1, it must be above 1"},
		{`"distribution":"uniform"`, `"distribution":"poisson"`, "poisson needs alpha"},
		{`"distribution":"uniform"`, `"distribution":"lognormal","average":0`, "average is 0, it must be 1 or more"},
		{`"distribution":"uniform"`, `"distribution":"lognormal","average":5,"sigma":1`, "average is set, and mean or sigma too"},
		{`"distribution":"uniform"`, `"distribution":"lognormal","average":5,"median_ratio":1`, "median_ratio is 1"},
		{`"distribution":"uniform"`, `"distribution":"lognormal","mean":5`, "lognormal needs sigma"},
		{`"distribution":"uniform"`, `"distribution":"lognormal","mean":-5,"sigma":1`, "mean is -5, it must be above 0"},
		{`"num_conversations":3`, `"num_conversations":30000`, "f: the text is too short: about "},
		{`"max":9`, `"max":`, "line 1: invalid character"},
	} {
		got := playAll(t, "conversations", strings.Replace(good, c.from, c.to, 1), nil)
		if !strings.Contains(got, "f: ") && !strings.Contains(got, "no file") && !strings.Contains(got, "conversation 0") || !strings.Contains(got, c.err) {
			t.Errorf("%s → %s: %s\nwant an error with\n%s", c.from, c.to, got, c.err)
		}
	}
	if got := playAll(t, "conversations", good, schema.Values{"sample": int64(2)}); !strings.Contains(got, "sample is for a list") {
		t.Errorf("sample of a generator's file: %s", got)
	}
}

// TestGeneratorDistributions: each is the one of numpy that the generator draws from.
func TestGeneratorDistributions(t *testing.T) {
	two, three, four, half := 2.0, 3.0, 4.0, 0.5
	for text, want := range map[string]dist.Dist{
		`{"distribution":"constant","value":3,"max":9}`:                         {Kind: dist.Constant, Value: 3},
		`{"distribution":"uniform","min":2,"max":3}`:                            {Kind: dist.Uniform, Min: &two, Max: &three},
		`{"distribution":"zipf","alpha":2,"max":3}`:                             {Kind: dist.Zipf, Alpha: &two, Max: &three},
		`{"distribution":"poisson","alpha":2,"max":0}`:                          {Kind: dist.Poisson, Mean: &two},
		`{"distribution":"lognormal","average":4,"median_ratio":0.5,"max":3}`:   {Kind: dist.Lognormal, Mean: &four, MedianRatio: &half, Max: &three},
		`{"distribution":"lognormal","mean":2,"sigma":0.5,"max":4,"value":"x"}`: {},
		`{"distribution":"lognormal","mean":2,"sigma":0.5,"max":4}`:             {Kind: dist.Lognormal, Mu: &two, Sigma: &half, Max: &four},
	} {
		var g generatorDist
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			if want.Kind != "" {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if got, err := g.dist(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestLimitSampleAndLargeFiles(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "{\"id\":%d,\"prompt\":\"p\"}\n", i)
	}
	ids := func(v schema.Values) string {
		var out []string
		for _, s := range strings.Split(playAll(t, "jsonl", b.String(), v), "; ") {
			out = append(out, strings.TrimSuffix(s, ": p>=0"))
		}
		return strings.Join(out, " ")
	}
	if got := ids(schema.Values{"limit": int64(3)}); got != "0 1 2" {
		t.Errorf("limit: %s", got)
	}
	one, two, again := ids(schema.Values{"sample": int64(5), "seed": int64(1)}), ids(schema.Values{"sample": int64(5), "seed": int64(2)}), ids(schema.Values{"sample": int64(5), "seed": int64(1)})
	if one == two || one != again || len(strings.Fields(one)) != 5 {
		t.Errorf("samples: %q, with another seed %q, again %q", one, two, again)
	}
	// Every conversation has the same chance: each tenth of the file has its share of 300
	// of 1000, ±4 standard deviations.
	shares := make([]int, 10)
	for seed := range int64(20) {
		for _, id := range strings.Fields(ids(schema.Values{"sample": int64(300), "seed": seed})) {
			n := 0
			_, _ = fmt.Sscan(id, &n)
			shares[n/100]++
		}
	}
	for i, n := range shares {
		if n < 600-4*20 || n > 600+4*20 { // √(2000·0.3·0.7) = 20.5
			t.Errorf("tenth %d of the file is %d times in 20 samples of 300, want about 600", i, n)
		}
	}
	if got := ids(schema.Values{"limit": int64(4), "sample": int64(9)}); got != "0 1 2 3" {
		t.Errorf("a sample of more than there are: %s", got)
	}
}

// A file that is larger than what is kept is read again as it is played.
func TestFilesBeyondTheHead(t *testing.T) {
	const n, each = 22, 1 << 10
	defer func(was int64) { headBytes = was }(headBytes)
	headBytes = 16 << 10
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"c%d\",\"prompt\":\"%s\",\"output_tokens\":%d}\n", i, strings.Repeat("x", each), i+1)
	}
	for name, text := range map[string]string{"plain": b.String(), "gzip": gz(b.String())} {
		s, err := read(plan.Dataset{Type: "jsonl", Values: schema.Values{"path": "f", "when_exhausted": schema.Plain("repeat")}}, map[string]string{"f": text})
		if err != nil {
			t.Fatal(err)
		}
		if k := len(s.set.(*fileSet).head); k == n || k < 8 {
			t.Fatalf("%s: %d of %d conversations are kept", name, k, n)
		}
		if size := s.Size(1); size.Conversations != n || size.Turns[1] != n {
			t.Errorf("%s: size %+v", name, size)
		}
		all, err := s.play(play{ctx: t.Context(), seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int64{0, 18, 19, n - 1, n, n + 20, 17} { // forth, round and back
			c, err := all.script(i)
			if err != nil || c.id != fmt.Sprintf("c%d", i%n) || c.row != i%n || c.turns[0].asked != i%n+1 {
				t.Fatalf("%s: conversation %d is %v, %v", name, i, c, err)
			}
		}
	}
}

// TestCellsShareASet: cells that play at the same time get the same conversations.
func TestCellsShareASet(t *testing.T) {
	defer func(was int64) { headBytes = was }(headBytes)
	headBytes = 100
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, `{"id":"c%d","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a b %d"}]}`+"\n", i, i)
	}
	s, err := read(plan.Dataset{Type: "jsonl", Values: schema.Values{"path": "f"}}, map[string]string{"f": b.String()})
	if err != nil {
		t.Fatal(err)
	}
	var cells sync.WaitGroup
	for range 4 {
		cells.Go(func() {
			all, err := s.play(play{ctx: t.Context(), model: "m", server: words{}})
			if err != nil {
				t.Error(err)
				return
			}
			for i := range int64(50) {
				if c, err := all.script(i); err != nil || c.id != fmt.Sprintf("c%d", i) || c.turns[0].asked != 3 {
					t.Errorf("conversation %d: %+v, %v", i, c, err)
				}
			}
		})
	}
	cells.Wait()
}

// FuzzFiles: no file makes a reader panic, hang or grow without bound.
func FuzzFiles(f *testing.F) {
	kinds := []string{"conversations", "sharegpt", "jsonl", "lines", "trace"}
	f.Add(uint8(0), twoTurns)
	f.Add(uint8(0), seedFile)
	f.Add(uint8(0), gz(twoTurns))
	f.Add(uint8(1), `[{"conversations":[{"from":"human","value":"a"}]}]`)
	f.Add(uint8(2), `{"prompt":"a"}`)
	f.Add(uint8(2), zst(`"a"`))
	f.Add(uint8(3), "a\nb")
	f.Add(uint8(4), mooncake)
	f.Add(uint8(4), burstGPT)
	f.Add(uint8(4), azure2023)
	f.Add(uint8(4), gz(azure2024))
	f.Fuzz(func(t *testing.T, kind uint8, text string) {
		d := plan.Dataset{Type: kinds[int(kind)%len(kinds)], Values: schema.Values{"path": "f"}}
		open := func(path string) (io.ReadCloser, error) {
			if path != "f" {
				return nil, errors.New("no such file")
			}
			return io.NopCloser(strings.NewReader(text)), nil
		}
		_, _ = Detect("f", open)
		s, err := Read(d, open)
		if err != nil {
			return
		}
		all, err := s.play(play{ctx: t.Context(), seed: 1, salt: 2})
		if err != nil {
			return
		}
		for i := range int64(3) {
			_, _ = all.script(i)
		}
	})
}
