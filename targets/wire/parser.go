package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sparkrun/runner/record"
)

// parser takes the bytes of an event stream as they come and fills a record. Every
// data line is one event. It finds what it needs by scanning bytes: nothing is decoded
// until the stream has ended.
type parser struct {
	rec    *record.Record
	keep   bool
	line   []byte // begun, not ended
	usage  []byte // the last one: some engines send zeros before it, or one per event
	before []byte // the usage with the last reasoning event, where the server counts along
	done   bool   // [DONE] has come
	like   pattern
	text   texts
	now    event // being looked at; here so that it is not made for each
}

// feed takes bytes that arrived at the given time.
func (p *parser) feed(b []byte, at int64) error {
	for len(b) > 0 {
		if len(p.line) == 0 {
			if b[0] == '\n' { // between events
				b = b[1:]
				continue
			}
			if value, rest, ok := p.like.match(b); ok {
				p.token(at)
				if p.like.thinks {
					p.rec.ReasoningEvents++
				}
				if p.keep {
					p.text.add(p.like.thinks, value)
				}
				b = rest
				continue
			}
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			if len(p.line)+len(b) > maxLine {
				return &malformed{fmt.Errorf("a stream event is longer than %d bytes", maxLine)}
			}
			p.line = append(p.line, b...)
			return nil
		}
		line := b[:i]
		if len(p.line) > 0 {
			p.line = append(p.line, line...)
			line = p.line
		}
		err := p.event(line, at)
		p.line = p.line[:0]
		if err != nil {
			return err
		}
		b = b[i+1:]
	}
	return nil
}

// end takes a last line that has no end.
func (p *parser) end(at int64) {
	if len(p.line) > 0 && !p.done {
		_ = p.event(p.line, at) // half an event is a cut stream, which the caller sees
	}
	p.line = nil
}

// token notes a token event that is not the stream's first.
func (p *parser) token(at int64) {
	p.rec.LastToken = at
	p.rec.Events = append(p.rec.Events, record.Event{At: at})
}

// event takes one line.
func (p *parser) event(line []byte, at int64) error {
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok || p.done {
		return nil // a comment, an event name, the empty line between events
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil
	}
	if string(data) == "[DONE]" {
		p.done = true
		p.like.forget()
		return nil
	}
	rec := p.rec
	if rec.FirstEvent == 0 {
		rec.FirstEvent = at
	}
	e := &p.now
	*e = event{}
	if !e.scan(data) {
		return &malformed{fmt.Errorf("a stream event is not what the API promises: %.120s", data)}
	}
	if e.err != nil {
		rec.Status, rec.Error = record.StreamError, "an error event in the stream: "+ErrorMessage(data)
		return nil
	}
	if e.finish != nil {
		rec.FinishReason = text(e.finish)
	}
	if e.usage != nil {
		p.usage = append(p.usage[:0], e.usage...)
	}
	out := e.content || e.tools != nil
	if !out && !e.thinks {
		if e.choices {
			rec.BareEvents++
			rec.LastBare = at
		}
		return nil
	}
	if rec.FirstToken == 0 {
		rec.FirstToken = at
		rec.FirstEventTokens = max(1, completionTokens(e.usage))
	}
	switch {
	case !out:
		rec.ReasoningEvents++
		p.before = append(p.before[:0], e.usage...)
	case rec.FirstOut == 0:
		rec.FirstOut = at
		rec.FirstOutTokens = max(1, completionTokens(e.usage)-completionTokens(p.before))
	}
	p.token(at)
	p.like.learn(line, e)
	if p.keep {
		for _, t := range e.texts {
			p.text.add(false, t)
		}
		if e.thinks {
			p.text.add(true, e.thoughts)
		}
		p.text.addTools(e.tools)
	}
	return nil
}

// completionTokens is the count in a usage, 0 where there is none.
func completionTokens(usage []byte) int32 {
	var u struct {
		N int32 `json:"completion_tokens"`
	}
	_ = json.Unmarshal(usage, &u) // the last usage is judged, the others may be what they like
	return u.N
}

// finish judges a whole stream and takes its token counts.
func (p *parser) finish() error {
	if err := usage(p.usage, p.rec); err != nil {
		return err
	}
	if len(p.rec.Events) == 0 {
		p.rec.Status, p.rec.Error = record.Empty, "the answer has no token"
		return nil
	}
	if p.rec.TokenSource == record.TokensUnknown {
		p.rec.OutputTokens, p.rec.TokenSource = int32(len(p.rec.Events)), record.TokensEvents
	}
	return nil
}

// usage reads the token counts that a server reports.
func usage(b []byte, rec *record.Record) error {
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var u struct {
		Prompt     *int32 `json:"prompt_tokens"`
		Completion *int32 `json:"completion_tokens"`
		In         struct {
			Cached *int32 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		Out struct {
			Reasoning *int32 `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	}
	if err := json.Unmarshal(b, &u); err != nil {
		return &malformed{fmt.Errorf("usage: %w", err)}
	}
	if u.Completion != nil {
		rec.OutputTokens, rec.TokenSource = *u.Completion, record.TokensUsage
	}
	for into, from := range map[*int32]*int32{&rec.InputTokens: u.Prompt, &rec.CachedTokens: u.In.Cached, &rec.ReasoningTokens: u.Out.Reasoning} {
		if from != nil {
			*into = *from
		}
	}
	return nil
}
