package wire

import "bytes"

// pattern is what the last token event of a stream looked like around its text. Engines
// send the same bytes around every token, so nearly every event is known by two
// comparisons; whatever differs goes through the scan, which learns anew.
//
// It is exact: a line that differs from a scanned one only inside one JSON string, which
// is not empty, scans to the same event with another text.
type pattern struct {
	line   []byte // front and back
	front  int    // bytes up to and with the quote before the text; 0: nothing learnt
	thinks bool   // the text is reasoning
}

// learn takes a scanned token event's line, if it carries one text and nothing else.
func (p *pattern) learn(line []byte, e *event) {
	value := e.thoughts
	if e.content {
		if len(e.texts) != 1 || e.thinks {
			p.forget()
			return
		}
		value = e.texts[0]
	}
	if e.tools != nil || e.finish != nil || e.usage != nil || value == nil {
		p.forget()
		return
	}
	start := cap(line) - cap(value) // both are parts of one array
	p.line = append(p.line[:0], line[:start+1]...)
	p.front, p.thinks = len(p.line), !e.content
	p.line = append(p.line, line[start+len(value)-1:]...)
	p.line = append(p.line, '\n')
}

func (p *pattern) forget() { p.front = 0 }

// match recognises a line at the front of b. text is the raw JSON string, quotes included.
func (p *pattern) match(b []byte) (text, rest []byte, ok bool) {
	if p.front == 0 || !bytes.HasPrefix(b, p.line[:p.front]) {
		return nil, nil, false
	}
	i := p.front
	for ; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
			if i == len(b) {
				return nil, nil, false
			}
		}
		if b[i] == '\n' {
			return nil, nil, false // the line ends before the string does
		}
	}
	if i == p.front || i >= len(b) || !bytes.HasPrefix(b[i:], p.line[p.front:]) {
		return nil, nil, false
	}
	return b[p.front-1 : i+1], b[i+len(p.line)-p.front:], true
}
