package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"sparkrun/runner/load"
	"sparkrun/scenario/schema"
)

// headBytes is how much text of a file is kept in memory. Cells read what follows again
// from the file, a conversation at a time. A variable for tests.
var headBytes int64 = 16 << 20

// fileAttrs are the attributes of files of conversations.
func fileAttrs(doc string) []schema.Attr {
	return []schema.Attr{
		pathAttr(doc + " gzip and zstd are unpacked."),
		{Name: "limit", Type: schema.Int, DefaultDoc: "all", Doc: "Read no more than so many conversations."},
		{Name: "sample", Type: schema.Int, DefaultDoc: "all", Doc: "Of those take so many at random, in the file's order. The same in every cell."},
		{Name: "seed", Type: schema.Int, Default: int64(1), Doc: "Seed of the sample."},
		{Name: "skip_invalid", Type: schema.Bool, Default: false, Doc: "Leave out conversations that are empty or whose roles don't take turns, instead of refusing the file."},
		exhausted("stop", "repeat"),
	}
}

// fileSet are the conversations of a file.
type fileSet struct {
	path   string
	format format
	open   Opener
	skip   bool
	end    int64 // conversations, skipped ones left out

	head    []*script // its first, or the sample
	more    bool      // the file goes on after them
	turns   map[int64]int64
	skipped int64
	why     string // the first that was skipped

	mu      sync.Mutex
	lengths map[string]*answerLengths // by model
}

// readFile reads a whole file, or as much as limit says, and keeps its head or a sample.
// unique wants ids to differ.
func readFile(v schema.Values, open Opener, f format, unique bool) (*fileSet, error) {
	s := &fileSet{path: v.String("path"), format: f, open: open, skip: v.Bool("skip_invalid"), turns: map[int64]int64{}, lengths: map[string]*answerLengths{}}
	r, err := newReader(s.path, open, f, s.skip)
	if err != nil {
		return nil, err
	}
	defer r.close()
	ids := map[string]int64{}
	limit, sample, size := v.Int("limit"), v.Int("sample"), int64(0)
	random := rand.New(rand.NewPCG(uint64(v.Int("seed")), 0x73616d706c65)) // "sample"
	for limit == 0 || s.end < limit {
		c, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if before, twice := ids[c.id]; unique && twice {
			return nil, fmt.Errorf("%s: conversation %d has the id %q of conversation %d: ids must differ", s.path, c.row, c.id, before)
		}
		if unique {
			ids[c.id] = c.row
		}
		s.end++
		switch {
		case sample > 0:
			s.reservoir(c, sample, random)
		case size <= headBytes:
			s.head = append(s.head, c)
			size += c.bytes()
			fallthrough
		default:
			s.turns[int64(len(c.turns))]++
			s.more = s.end > int64(len(s.head))
		}
	}
	s.skipped, s.why = r.skipped, r.why
	if s.end == 0 {
		if s.skipped > 0 {
			return nil, fmt.Errorf("%s: all of its %d conversations are invalid; the first: %s", s.path, s.skipped, s.why)
		}
		return nil, fmt.Errorf("%s: the file has no conversation", s.path)
	}
	if sample > 0 {
		slices.SortFunc(s.head, func(a, b *script) int { return int(a.row - b.row) })
		s.end = int64(len(s.head))
		for _, c := range s.head {
			s.turns[int64(len(c.turns))]++
		}
	}
	return s, nil
}

// reservoir keeps a sample in which every conversation so far is with the same chance
// (Vitter, Random sampling with a reservoir, 1985, algorithm R).
func (s *fileSet) reservoir(c *script, sample int64, r *rand.Rand) {
	if int64(len(s.head)) < sample {
		s.head = append(s.head, c)
		return
	}
	if i := r.Int64N(s.end); i < sample {
		s.head[i] = c
	}
}

func (s *script) bytes() int64 {
	n := len(s.system)
	for _, t := range s.turns {
		n += len(t.user) + len(t.answer)
	}
	return int64(n)
}

func (s *fileSet) size(uint64) Size { return Size{s.end, s.turns} }

// note says what was left out.
func (s *fileSet) note() string {
	if s.skipped == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d conversations are invalid and left out; the first: %s", s.path, s.skipped, s.why)
}

func (s *fileSet) play(p play) (scripts, error) {
	f := &fileScripts{fileSet: s, ctx: p.ctx}
	if p.asIs {
		return f, nil
	}
	var err error
	f.answers, err = s.answers(p)
	return f, err
}

// fileScripts are a file's conversations in its order.
type fileScripts struct {
	*fileSet
	ctx     context.Context
	answers *answerLengths // nil: not wanted
	rest    *reader
	stop    func() bool // nobody closes rest at the cell's end
	at      int64       // the next of rest
}

// note says how lengths were counted.
func (f *fileScripts) note() string {
	if f.answers == nil {
		return ""
	}
	return f.answers.note
}

func (f *fileScripts) script(i int64) (*script, error) {
	if i < int64(len(f.head)) {
		return f.answers.fill(f.head[i], i), nil
	}
	if i >= f.end {
		return nil, load.ErrExhausted
	}
	if f.rest == nil || i < f.at {
		if err := f.again(); err != nil {
			return nil, err
		}
	}
	for {
		c, err := f.rest.next()
		if err == io.EOF {
			err = errors.New("the file has become shorter since it was checked")
		}
		if err != nil {
			return nil, fmt.Errorf("read %s again: %w", f.path, err)
		}
		if f.at++; f.at > i {
			return f.answers.fill(c, i), nil
		}
	}
}

// again opens the file from its beginning. It is closed when the cell ends.
func (f *fileScripts) again() error {
	if f.rest != nil && f.stop() {
		f.rest.close()
	}
	rest, err := newReader(f.path, f.open, f.format, f.skip)
	if err != nil {
		return err
	}
	f.rest, f.at = rest, 0
	f.stop = context.AfterFunc(f.ctx, func() { rest.close() })
	return nil
}
