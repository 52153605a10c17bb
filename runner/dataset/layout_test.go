package dataset

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// seedFile is vLLM's generate_multi_turn.json, as its README has it.
const seedFile = `{
    "filetype": "generate_conversations",
    "num_conversations": 24,
    "text_files": ["pg1184.txt"],
    "print_stats": false,
    "prompt_input": {
        "num_turns": {"distribution": "uniform", "min": 12, "max": 18},
        "common_prefix_num_tokens": {"distribution": "constant", "value": 500},
        "prefix_num_tokens": {"distribution": "lognormal", "average": 1000, "max": 5000},
        "num_tokens": {"distribution": "uniform", "min": 120, "max": 160}
    },
    "prompt_output": {"num_tokens": {"distribution": "uniform", "min": 80, "max": 120}}
}`

// seedSet are the conversations of the seed's file with another text; a salt of 0 is none.
func seedSet(t *testing.T, seed, salt uint64) []*script {
	t.Helper()
	s, err := read(plan.Dataset{Type: "conversations", Values: schema.Values{"path": "data/gen.json"}},
		map[string]string{"data/gen.json": seedFile, "data/pg1184.txt": strings.Repeat(opticks+" ", 5)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.play(play{ctx: t.Context(), seed: seed, salt: salt, server: words{}})
	if err != nil {
		t.Fatal(err)
	}
	return list24(t, all)
}

func list24(t *testing.T, all scripts) []*script {
	t.Helper()
	var out []*script
	for i := range int64(24) {
		c, err := all.script(i)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if _, err := all.script(24); err == nil {
		t.Error("there is a conversation 24")
	}
	return out
}

// TestSeedFileHasItsDistributions: what is made of the unchanged file has the lengths that
// the file declares.
func TestSeedFileHasItsDistributions(t *testing.T) {
	for _, salt := range []uint64{0, 99} {
		var in, out, messages []float64
		prefix := 0
		for i, c := range seedSet(t, 7, salt) {
			if want := fmt.Sprintf("CONV_ID_%d", i); c.id != want {
				t.Errorf("id %q, want %q", c.id, want)
			}
			messages = append(messages, float64(2*len(c.turns)))
			for k, u := range c.turns {
				if n := len(splitWords(u.answer)); int64(n) != u.asked {
					t.Fatalf("answer of %d words asks for %d tokens", n, u.asked)
				}
				out = append(out, float64(u.asked))
				if k > 0 { // the parts join to fewer words than they are, by the spaces at their ends
					in = append(in, float64(len(splitWords(u.user))+2))
				}
			}
			_, rest, _ := strings.Cut(c.turns[0].user, "nice number... ")
			rest, tail, ok := strings.Cut(rest, instruction)
			if !ok || tail != "" { // 500 tokens of common prefix leave no room for filler
				t.Errorf("first turn of %d ends with %q", i, tail)
			}
			n := len(splitWords(rest)) - 1 // the number
			if n > 5001 {
				t.Errorf("prefix of %d tokens", n)
			}
			prefix += n
		}
		// Scaled to the mean, and none is as long as max with this seed.
		if prefix < 24*1000-24 || prefix > 24*1000+24 {
			t.Errorf("prefixes sum to %d tokens, want 24000 but for rounding", prefix)
		}
		for _, m := range messages {
			if m < 12 || m > 18 || math.Mod(m, 2) != 0 {
				t.Errorf("%v messages", m)
			}
		}
		// 12 to 18, rounded up to even: 12 (1/7), 14 (2/7), 16 (2/7), 18 (2/7).
		if mean := meanOf(messages); math.Abs(mean-15.43) > 1.2 { // 3 standard errors
			t.Errorf("mean of %v messages, want 15.4", mean)
		}
		uniformly(t, "input", in, 120, 160)
		uniformly(t, "output", out, 80, 120)
	}
}

func meanOf(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// uniformly tests whole numbers against uniform(from, to): bounds, and Kolmogorov and
// Smirnov's distance at p = 0.01 (1.63 / √n, conservative for whole numbers).
func uniformly(t *testing.T, what string, v []float64, from, to float64) {
	t.Helper()
	slices.Sort(v)
	if v[0] < from || v[len(v)-1] > to {
		t.Errorf("%s from %v to %v, want %v to %v", what, v[0], v[len(v)-1], from, to)
	}
	n, d := float64(len(v)), 0.0
	for x := from; x <= to; x++ {
		below, _ := slices.BinarySearch(v, x+0.5)
		d = max(d, math.Abs(float64(below)/n-(x-from+1)/(to-from+1)))
	}
	if limit := 1.63 / math.Sqrt(n); d > limit {
		t.Errorf("%s: distance %.3f of %v lengths to uniform(%v, %v), at most %.3f", what, d, n, from, to, limit)
	}
}

// TestPrefixesAreShared: conversations share the common prefix and nothing more; cells
// share nothing; a cell sends the same again.
func TestPrefixesAreShared(t *testing.T) {
	first, again, other := seedSet(t, 7, 99), seedSet(t, 7, 99), seedSet(t, 7, 100)
	for i, c := range first[1:] {
		n := len(splitWords(shared(c.turns[0].user, first[0].turns[0].user)))
		if n < 498 || n > 500 {
			t.Errorf("conversation %d shares %d tokens with the first, want 499: the common prefix with its point", i+1, n)
		}
		if k := len(shared(c.turns[1].user, first[0].turns[1].user)); k > 8 {
			t.Errorf("second turns of %d share %d bytes", i+1, k)
		}
	}
	for i, c := range first {
		for k, u := range c.turns {
			if u != again[i].turns[k] {
				t.Fatalf("conversation %d is another one the second time", i)
			}
			if u.asked != other[i].turns[k].asked {
				t.Fatalf("lengths hang on the salt")
			}
		}
		if p := shared(c.turns[0].user, other[i].turns[0].user); len(splitWords(p)) > unlike {
			t.Errorf("two cells share %q", p)
		}
	}
}

// Without a common prefix cells differ in the number.
func TestCellsDifferWithoutPrefix(t *testing.T) {
	s, err := read(plan.Dataset{Type: "synthetic", Values: schema.Values{"turns": constant(2), "input_tokens": constant(50), "output_tokens": constant(5)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for salt := range uint64(20) {
		all, err := s.play(play{ctx: t.Context(), seed: 1, salt: salt + 1})
		if err != nil {
			t.Fatal(err)
		}
		c, err := all.script(0)
		if err != nil {
			t.Fatal(err)
		}
		number, rest, _ := strings.Cut(c.turns[0].user, " ")
		if seen[number] || !strings.HasPrefix(rest, "is a nice number... "+instruction) {
			t.Errorf("cell %d begins with %.40q", salt, c.turns[0].user)
		}
		seen[number] = true
		if n := len(splitWords(c.turns[0].user)); n < 47 || n > 50 {
			t.Errorf("a first turn of %d tokens, want 50", n)
		}
	}
}

func shared(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// TestLayout is the text layout worked out by hand for a text of 130 words.
func TestLayout(t *testing.T) {
	var corpus []string
	for i := range 130 {
		corpus = append(corpus, fmt.Sprintf("w%d", i))
	}
	span := func(from, to int) string { return " " + strings.Join(corpus[from:to], " ") }
	file := `{"filetype": "generate_conversations", "num_conversations": 2, "text_files": ["t"],
	 "prompt_input": {"num_turns": {"distribution": "constant", "value": 3}, "common_prefix_num_tokens": {"distribution": "constant", "value": 6},
	  "prefix_num_tokens": {"distribution": "constant", "value": 3}, "num_tokens": {"distribution": "constant", "value": 40}},
	 "prompt_output": {"num_tokens": {"distribution": "constant", "value": 5}}}`
	s, err := read(plan.Dataset{Type: "conversations", Values: schema.Values{"path": "g"}}, map[string]string{"g": file, "t": strings.Join(corpus, " ")})
	if err != nil {
		t.Fatal(err)
	}
	if size := s.Size(1); size.Conversations != 2 || size.Turns[2] != 2 {
		t.Errorf("size %+v, want 2 conversations of 2 turns (4 messages)", size)
	}
	all, err := s.play(play{ctx: t.Context(), seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	const please = "Please rewrite the following text and add more content: " // 10 tokens
	want := [2][2]string{{
		// 40 − 10 − 9 (common and number) = 21 tokens; base 6, prefix 3.
		span(0, 4)[1:] + ".0 is a nice number... 0, " + span(6, 9) + please + span(9, 30),
		// 40 − 10 − 6 = 24 tokens from 9 + 2·40.
		"0 is a nice number... " + please + span(89, 113),
	}, {
		// base 9 + 4 messages
		span(0, 4)[1:] + ".1 is a nice number... 1, " + span(13, 16) + please + span(16, 37),
		"1 is a nice number... " + please + span(96, 120),
	}}
	for i, turns := range want {
		c, err := all.script(int64(i))
		if err != nil || len(c.turns) != 2 {
			t.Fatalf("%v, %v", c, err)
		}
		for k, text := range turns {
			if u := c.turns[k]; u.user != text || u.asked != 5 || u.answer != span(0, 5)[1:] {
				t.Errorf("conversation %d, turn %d:\n%q\nwant\n%q (asked %d, %q)", i, k, u.user, text, u.asked, u.answer)
			}
		}
	}
	// A text that ends before the last of these is too short, as there.
	for words, ok := range map[int]bool{121: true, 120: false} {
		s, err := read(plan.Dataset{Type: "conversations", Values: schema.Values{"path": "g"}}, map[string]string{"g": file, "t": strings.Join(corpus[:words], " ")})
		if err == nil {
			_, err = s.play(play{ctx: t.Context(), seed: 1})
		}
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "conversation 1 needs tokens up to number 120, and it has 120") {
			t.Errorf("a text of %d words: %v", words, err)
		}
	}
}

// TestAttributesAreTheSeedsFile: a synthetic set with the same numbers is the same set,
// turns counting the user's.
func TestAttributesAreTheSeedsFile(t *testing.T) {
	v := schema.Values{
		"conversations": int64(24), "turns": uniform(6, 9), "shared_prefix_tokens": constant(500), "prefix_tokens": lognormal(1000, 5000),
		"input_tokens": uniform(120, 160), "output_tokens": uniform(80, 120), "when_exhausted": schema.Plain("stop"), "text": schema.Plain(strings.Repeat(opticks+" ", 5)),
	}
	s, err := read(plan.Dataset{Type: "synthetic", Values: v}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.play(play{ctx: t.Context(), seed: 7, salt: 99, server: words{}})
	if err != nil {
		t.Fatal(err)
	}
	own := list24(t, all)
	// Turns are drawn from 6 to 9 here and messages from 12 to 18 there, so the texts are
	// the same up to the first place that hangs on their number: where 1 begins.
	file := seedSet(t, 7, 99)
	if own[0].turns[0].user != file[0].turns[0].user {
		t.Errorf("first turn\n%q\nand in the file's set\n%q", own[0].turns[0].user, file[0].turns[0].user)
	}
	for i, c := range own {
		if n := len(c.turns); n < 6 || n > 9 {
			t.Errorf("%d turns", n)
		}
		if n := len(shared(c.turns[0].user, file[i].turns[0].user)); n < 500*4 {
			t.Errorf("conversation %d shares %d bytes with the file's", i, n)
		}
	}
	// With the text that is embedded it begins again where the text ends.
	delete(v, "text")
	v["when_exhausted"] = schema.Plain("generate")
	if s, err = read(plan.Dataset{Type: "synthetic", Values: v}, nil); err != nil {
		t.Fatal(err)
	}
	if all, err = s.play(play{ctx: t.Context(), seed: 7, salt: 99}); err != nil {
		t.Fatal(err)
	}
	a, err := all.script(30)
	b, err2 := all.script(6)
	if err != nil || err2 != nil || a.turns[1].user == b.turns[1].user {
		t.Errorf("conversation 30 of 24: %v %v", err, err2)
	}
}
