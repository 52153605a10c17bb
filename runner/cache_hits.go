package runner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

const (
	// coldLimit is the share of first prompts from the cache above which a cold cell was none.
	coldLimit = 0.1
	// primedLimit is the share below which a primed one was none.
	primedLimit = 0.9
	// templateTokens are those that a chat template may put before every prompt (gpt-oss:
	// about 70): whoever asks a server anything, has them cached.
	templateTokens = 96
	// blockTokens is the largest block of a prefix cache; what begins one in it is not kept.
	blockTokens = 64
	// mostFirsts and mostFirstBytes bound the prompts that are compared with each other.
	mostFirsts     = 1024
	mostFirstBytes = 64 << 20
)

// firstPrompt is the first request of a conversation in a cell.
type firstPrompt struct {
	record *record.Record
	text   string
	shared float64 // share of its text that an earlier one has begun with
}

// firsts are the first prompts of a cell's conversations, in the order in which they were
// sent. Later ones find their own conversation in the cache, which is right.
type firsts struct {
	prompts []firstPrompt
	all     bool  // there are no others
	later   int64 // input tokens of the requests after them
	unknown bool  // of a later one they are not known
}

// firstPrompts finds them and makes their texts again, to see what they have in common.
func firstPrompts(records []record.Record, source load.Source) *firsts {
	first := map[int64]*record.Record{}
	for i := range records {
		r := &records[i]
		if f := first[r.Conversation]; r.Sent > 0 && (f == nil || r.Sent < f.Sent) {
			first[r.Conversation] = r
		}
	}
	f := &firsts{all: true}
	for i := range records {
		r := &records[i]
		switch {
		case r.Sent == 0:
		case first[r.Conversation] == r:
			f.prompts = append(f.prompts, firstPrompt{record: r})
		case r.InputTokens < 0:
			f.unknown = true
		default:
			f.later += int64(r.InputTokens)
		}
	}
	slices.SortFunc(f.prompts, func(a, b firstPrompt) int { return cmp.Compare(a.record.Sent, b.record.Sent) })
	if len(f.prompts) > mostFirsts {
		f.prompts, f.all = f.prompts[:mostFirsts], false
	}
	f.texts(source)
	for i := range f.prompts {
		p := &f.prompts[i]
		if p.text == "" {
			f.prompts, f.all = f.prompts[:i], false
			break
		}
		p.shared = sharedBefore(f.prompts[:i], p.text)
	}
	return f
}

// texts makes the prompts' texts, as many as there is room for, in the order of the
// dataset: a file that is read as it is played is read once.
func (f *firsts) texts(source load.Source) {
	order := make([]*firstPrompt, len(f.prompts))
	for i := range order {
		order[i] = &f.prompts[i]
	}
	slices.SortFunc(order, func(a, b *firstPrompt) int { return cmp.Compare(a.record.Conversation, b.record.Conversation) })
	bytes := 0
	for _, p := range order {
		text, ok := promptText(source, p.record)
		if bytes += len(text); !ok || bytes > mostFirstBytes {
			return
		}
		p.text = text
	}
}

// promptText is what the user and the system had said up to a request.
func promptText(source load.Source, r *record.Record) (string, bool) {
	conv, err := source.Open(r.Conversation)
	if err != nil {
		return "", false
	}
	var text strings.Builder
	for range r.Turn + 1 {
		var req record.Request
		if ok, err := conv.Next(nil, &req); !ok || err != nil {
			return "", false
		}
		text.WriteString(req.System)
		text.WriteString(req.Prompt)
	}
	return text.String(), true
}

// sharedBefore is the largest share of a text's beginning that one of the prompts has too.
func sharedBefore(earlier []firstPrompt, text string) float64 {
	most := 0
	for i := range earlier {
		other := earlier[i].text
		if n := min(len(text), len(other)); n <= most || other[:most] != text[:most] {
			continue
		}
		for most < len(text) && most < len(other) && text[most] == other[most] {
			most++
		}
	}
	return float64(most) / float64(len(text))
}

// explained are the input tokens that a server may have in its cache although it began
// cold: the template's, and what an earlier prompt of the cell begins with.
func (p *firstPrompt) explained() float64 {
	n := float64(p.record.InputTokens)
	return min(n, templateTokens+n*p.shared)
}

// primable are the input tokens that must be cached after priming: all but the last block.
func (p *firstPrompt) primable() float64 {
	return max(0, float64(p.record.InputTokens)-blockTokens)
}

// counts reports whether a prompt says something of the state: it came to its end at the
// first try, and of a primed cell, it was what had been sent before.
func (p *firstPrompt) counts(state string) bool {
	r := p.record
	return r.InputTokens >= 0 && r.Retries == 0 && r.Reconnects == 0 && (state == plan.CacheCold || r.Turn == 0)
}

// share is the share of the first prompts' tokens that came from the cache by the usage of
// their answers, nil where that does not say.
func (f *firsts) share(state string) *float64 {
	hit, of := 0.0, 0.0
	for i := range f.prompts {
		p := &f.prompts[i]
		cached := float64(p.record.CachedTokens)
		switch {
		case cached < 0 || !p.counts(state):
		case state == plan.CacheCold:
			hit += max(0, cached-p.explained())
			of += float64(p.record.InputTokens) - p.explained()
		default:
			hit += min(cached, p.primable())
			of += p.primable()
		}
	}
	return ratio(hit, of)
}

// shareOf is the same by the hits of all requests together: what exceeds those that the
// cell itself explains. Of a primed cell with later turns it can't be told.
func (f *firsts) shareOf(state string, hits float64) *float64 {
	if !f.all || f.unknown || (state == plan.CachePrimed && f.later > 0) {
		return nil
	}
	explained, of := float64(f.later), 0.0
	for i := range f.prompts {
		p := &f.prompts[i]
		if !p.counts(state) {
			return nil
		}
		if state == plan.CacheCold {
			explained += p.explained()
			of += float64(p.record.InputTokens) - p.explained()
		} else {
			of += p.primable()
		}
	}
	if state == plan.CachePrimed {
		return ratio(min(hits, of), of)
	}
	return ratio(max(0, hits-explained), of)
}

// untold is why the hits of a cell say nothing of the declared state, and whether all first prompts
// are so short that a hit would not be more than what any server has of its chat template.
func (f *firsts) untold(state string) (why string, short bool) {
	counted, said, longest := false, false, int32(0)
	for i := range f.prompts {
		if p := &f.prompts[i]; p.counts(state) {
			counted, said = true, said || p.record.CachedTokens >= 0
			longest = max(longest, p.record.InputTokens)
		}
	}
	switch short = longest <= templateTokens; {
	case !counted:
		why = "no first prompt of a conversation came to its end at the first try with its tokens counted"
	case !said:
		why = "the server tells cached tokens neither in usage nor by a counter that could be used"
	case state == plan.CacheCold:
		why = fmt.Sprintf("the longest first prompt has %d tokens, and up to %d may be the chat template's, which is cached whatever was done: prompts must be longer for hits to tell", longest, templateTokens)
	default:
		why = fmt.Sprintf("the longest first prompt has %d tokens, and the last %d of one are not kept: prompts must be longer for hits to tell", longest, blockTokens)
	}
	return why, short
}

func ratio(a, b float64) *float64 {
	if b <= 0 {
		return nil
	}
	x := a / b
	return &x
}
