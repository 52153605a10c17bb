package dataset

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"sparkrun/scenario/schema"
)

// kind is a dataset type. Each is declared in a file of its own, which registers it from
// an init function.
type kind struct {
	schema.Kind
	// read reads and checks what needs no server. Its errors name the file.
	read func(v schema.Values, open Opener) (set, error)
	// write makes what a conversation is in such a file; nil: it can't be written.
	write      func(c *Conversation) (any, error)
	writesList bool // of JSON, instead of lines
}

// Opener opens an input file.
type Opener func(path string) (io.ReadCloser, error)

// set is a dataset that has been read. Cells share it, so it is never changed.
type set interface {
	// size is how much there is. Of sets that are drawn it is what seed gives.
	size(seed uint64) Size
	// play makes its conversations for a cell.
	play(p play) (scripts, error)
}

// play is what a cell adds to a set.
type play struct {
	ctx  context.Context
	seed uint64 // of what is drawn
	// salt makes texts that no other cell has sent; 0 leaves them as the set has them.
	salt   uint64
	model  string    // whose tokenizer it is
	server Tokenizer // nil: words are taken for tokens
	asIs   bool      // leave out what is estimated: the lengths of a file's answers
}

// Size is how much a dataset has.
type Size struct {
	Conversations int64           // -1: endless
	Turns         map[int64]int64 // how many conversations have so many user turns
}

var kinds []kind

func register(k kind) { kinds = append(kinds, k) }

// Kinds are the dataset types, sorted by name.
func Kinds() []schema.Kind {
	var out []schema.Kind
	for _, k := range kinds {
		out = append(out, k.Kind)
	}
	slices.SortFunc(out, func(a, b schema.Kind) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func kindOf(name string) (kind, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.Name == name })
	if i < 0 {
		return kind{}, fmt.Errorf("dataset type %q is unknown", name)
	}
	return kinds[i], nil
}

var seedAttr = schema.Attr{Name: "seed", Type: schema.Int, DefaultDoc: "the benchmark's seed and the repeat", Doc: "Seed of what is drawn."}

func pathAttr(doc string) schema.Attr {
	return schema.Attr{Name: "path", Type: schema.Path, Required: true, DefaultDoc: "none", Doc: doc}
}

// exhausted is the attribute when_exhausted; the first of its values is the default.
func exhausted(values ...string) schema.Attr {
	doc := "What follows the last conversation: the cell stops, or it begins again"
	if slices.Contains(values, "generate") {
		doc += ", or new ones are made"
	}
	return schema.Attr{Name: "when_exhausted", Type: schema.String, Default: schema.Plain(values[0]), Values: values, Doc: doc + "."}
}
