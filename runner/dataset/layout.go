package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// layout makes conversations with the texts of vLLM's multi-turn benchmark
// (benchmarks/multi_turn/bench_dataset.py, generate_conversations), so that prefix caches
// meet with what they meet there. User message t (0, 2, 4, …) of conversation i is
//
//	t = 0: [the text's first common−2 tokens + "."]
//	       "{i} is a nice number... "
//	t = 0: ["{i}, " + prefix tokens of the text from base on]
//	       "Please rewrite the following text and add more content: "
//	       r tokens of the text from base + t · (most tokens of a message of i) on
//
// with r = length − tokens(common prefix and number) − tokens(instruction), none where
// that is negative. base begins after the common prefix and moves on with each prefix,
// and by the number of messages with each conversation. Answers are the text's first
// tokens: they carry a length.
//
// A salt keeps a cell from meeting another cell's cache: the common prefix begins with
// random words, and numbers count from a random one on.
type layout struct {
	drawn
	tok         *tokens
	salt        uint64
	number      int64  // of conversation 0
	opening     string // the common prefix with its point
	instruction int64  // its tokens
	current     *batch
}

const instruction = "Please rewrite the following text and add more content: "

func newLayout(r *recipe, p play) (*layout, error) {
	l := &layout{drawn: *newDrawn(r, p.seed), salt: p.salt}
	salted := rand.New(rand.NewPCG(p.salt, 0x736861726564)) // "shared"
	if p.salt != 0 {
		l.number = 1_000_000 + salted.Int64N(1<<30)
	}
	need, err := l.need()
	if err != nil {
		return nil, err
	}
	if l.tok, err = newTokens(p, r.text, need); err != nil {
		return nil, err
	}
	l.instruction = l.tok.count(instruction)
	if l.common > 0 {
		l.opening = l.tok.slice(0, l.common-2) + "."
		if n := l.tok.many(l.common - 2); p.salt != 0 && n > unlike {
			l.opening = l.tok.opening(salted, unlike) + l.tok.run(unlike, n-unlike, 0) + "."
		}
	}
	if !r.strict {
		return l, nil
	}
	for i := range r.conversations {
		if _, err := l.script(i); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *layout) note() string { return l.tok.note() }

func (l *layout) script(i int64) (*script, error) {
	n := l.batchSize()
	if l.current == nil || l.current.number != i/n {
		l.current = l.batch(i / n)
	}
	b, k := l.current, i%n
	messages := b.messages[k]
	in, out, err := l.lengths(b, k)
	if err != nil {
		return nil, err
	}
	most := l.instruction
	for t := range in {
		in[t] = max(in[t], l.instruction)
		most = max(most, in[t])
	}
	base, number := b.base[k], strconv.FormatInt(l.number+i, 10)
	s := &script{id: "CONV_ID_" + strconv.FormatInt(i, 10), row: -1}
	for t := int64(0); t < messages; t += 2 {
		var text strings.Builder
		left := in[t] - l.instruction
		begin := number + " is a nice number... "
		if t == 0 {
			begin = l.opening + begin
		}
		text.WriteString(begin)
		left -= l.tok.count(begin)
		if prefix := b.prefix[k]; t == 0 && prefix > 0 {
			if err := l.reaches(base+prefix, i); err != nil {
				return nil, err
			}
			text.WriteString(number + ", " + l.tok.slice(base, prefix))
			base += prefix
		}
		text.WriteString(instruction)
		if left > 0 {
			from := base + t*most
			if err := l.reaches(from+left, i); err != nil {
				return nil, err
			}
			text.WriteString(l.tok.slice(from, left))
		}
		answer := max(1, out[t+1])
		if err := l.reaches(answer, i); err != nil {
			return nil, err
		}
		s.turns = append(s.turns, turn{user: text.String(), asked: answer, answer: l.tok.slice(0, answer)})
	}
	return s, nil
}

// reaches is an error where the text must be longer than it is.
func (l *layout) reaches(end, i int64) error {
	if !l.strict || l.tok.total() > end {
		return nil
	}
	return fmt.Errorf("the text is too short: conversation %d needs tokens up to number %d, and it has %d: add text_files, or ask for fewer conversations or shorter prefixes", i, end, l.tok.total())
}

// Most of what a set may ask for; more is a slip of the pen that no server can serve.
const (
	mostConversations = 1_000_000
	mostMessages      = 10_000     // of a conversation
	mostTogether      = 20_000_000 // messages of a set
	mostTokens        = 16 << 20   // of a message or prefix
)

// drawn are the lengths of a recipe's conversations; number i is the same whenever it is
// asked for. They are drawn a batch at a time: those of a set, as many as it has.
type drawn struct {
	*recipe
	seed   uint64
	common int64 // tokens of the common prefix; below 3 there is no room for one
}

// endlessBatch is how many conversations of an endless set are drawn together.
const endlessBatch = 256

// batch is a number of conversations: how many messages each has, its prefix, and where
// in the text that begins.
type batch struct {
	number                 int64
	messages, prefix, base []int64
}

func newDrawn(r *recipe, seed uint64) *drawn {
	d := &drawn{recipe: r, seed: seed}
	if n := r.shared.Ints(rand.New(rand.NewPCG(seed, 1<<63)), 1)[0]; n >= 3 {
		d.common = min(n, mostTokens)
	}
	return d
}

func (d *drawn) batchSize() int64 {
	if d.conversations > 0 {
		return d.conversations
	}
	return endlessBatch
}

// need is how many tokens of the text the set uses at most; 0 for an endless one. The
// instruction is not known in tokens yet: in bytes it is more.
func (d *drawn) need() (int64, error) {
	if d.conversations == 0 {
		return 0, nil
	}
	b, need, together := d.batch(0), int64(0), int64(0)
	for k, messages := range b.messages {
		if together += messages; together > mostTogether {
			return 0, fmt.Errorf("%d conversations have over %d messages together: ask for fewer", d.conversations, mostTogether)
		}
		in, out, err := d.lengths(b, int64(k))
		if err != nil {
			return 0, err
		}
		most := max(int64(len(instruction)), slices.Max(in))
		need = max(need, b.base[k]+b.prefix[k]+messages*most, slices.Max(out))
	}
	return need, nil
}

// lengths are those of the messages of conversation k of a batch: of each both are drawn,
// and one is used.
func (d *drawn) lengths(b *batch, k int64) (in, out []int64, err error) {
	i := b.number*d.batchSize() + k
	if b.messages[k] > mostMessages {
		return nil, nil, fmt.Errorf("conversation %d has over %d messages: give the distribution of turns a max", i, mostMessages)
	}
	r := rand.New(rand.NewPCG(d.seed, uint64(i)))
	n := int(b.messages[k])
	in, out = d.input.Ints(r, n), d.output.Ints(r, n)
	if long := max(slices.Max(in), slices.Max(out), b.prefix[k]); long > mostTokens {
		return nil, nil, fmt.Errorf("conversation %d has a message of %d tokens: give the distribution a max", i, long)
	}
	return in, out, nil
}

func (d *drawn) batch(number int64) *batch {
	n := int(d.batchSize())
	r := rand.New(rand.NewPCG(d.seed+uint64(number)*golden, 1<<62))
	b := &batch{number: number, messages: d.turns.Ints(r, n), base: make([]int64, n)}
	for i, turns := range b.messages {
		turns = min(turns, mostMessages+1)
		if d.messages {
			turns = max(2, turns)
			b.messages[i] = turns + turns%2
		} else {
			b.messages[i] = 2 * max(1, turns)
		}
	}
	b.prefix = d.prefix.Ints(r, n)
	base := d.common
	for i := range b.base {
		b.base[i] = base
		base += max(0, b.prefix[i]) + b.messages[i]
	}
	return b
}
