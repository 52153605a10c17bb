package dataset

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A file's answers say how long the server's are to be. Their tokens are counted by the
// server's tokenizer before the load begins, in the file's order, for no longer than
// countTime; the lengths of the others are estimated from their words.
const countTime = 10 * time.Second

// countAtOnce is how many questions a server is asked at a time.
const countAtOnce = 8

// counter is a Tokenizer that counts without telling the pieces.
type counter interface {
	Count(ctx context.Context, text string) (int, error)
}

// answerLengths are the tokens of a file's answers by one tokenizer.
type answerLengths struct {
	tokens  [][]int64 // by conversation of the head and turn; 0: not counted
	perWord float64
	note    string
}

// answers counts the answers of the head, once for each model.
func (s *fileSet) answers(p play) (*answerLengths, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lengths[p.model]; l != nil && p.server != nil {
		return l, nil
	}
	l := &answerLengths{perWord: 1}
	if p.server == nil {
		return l, nil
	}
	l.count(p, s.head, s.more)
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	s.lengths[p.model] = l
	return l, nil
}

// answerJob is an answer to be counted.
type answerJob struct {
	text string
	into *int64
}

func (l *answerLengths) count(p play, head []*script, more bool) {
	var jobs []answerJob
	l.tokens = make([][]int64, len(head))
	for i, s := range head {
		l.tokens[i] = make([]int64, len(s.turns))
		for k, t := range s.turns {
			if t.asked == 0 && t.answer != "" {
				jobs = append(jobs, answerJob{t.answer, &l.tokens[i][k]})
			}
		}
	}
	if len(jobs) == 0 && !more {
		return
	}
	ask := counts(p.server)
	ctx, cancel := context.WithTimeout(p.ctx, countTime)
	defer cancel()
	var next, failed atomic.Int64
	var workers sync.WaitGroup
	for range min(countAtOnce, len(jobs)) {
		workers.Go(func() {
			for failed.Load() == 0 {
				i := next.Add(1) - 1
				if i >= int64(len(jobs)) {
					return
				}
				n, err := ask(ctx, jobs[i].text)
				if err != nil {
					failed.Add(1)
					return
				}
				*jobs[i].into = int64(max(1, n))
			}
		})
	}
	workers.Wait()
	var counted, tokens, words int64
	for _, j := range jobs {
		if *j.into > 0 {
			counted++
			tokens += *j.into
			words += int64(len(splitWords(j.text)))
		}
	}
	if words > 0 {
		l.perWord = float64(tokens) / float64(words)
	} else {
		l.perWord = tokensPerWord(p.ctx, p.server, opticks)
	}
	switch rest := int64(len(jobs)) - counted; {
	case counted == 0:
		l.note = fmt.Sprintf("the server does not count tokens: the lengths of the dataset's answers are estimated from their words (%.2f tokens a word)", l.perWord)
	case rest > 0:
		l.note = fmt.Sprintf("the server counted the tokens of %d of the dataset's answers in %s; the lengths of the other %d are estimated from their words (%.2f tokens a word)", counted, countTime, rest, l.perWord)
	case more:
		l.note = fmt.Sprintf("the server counted the tokens of the file's first %d answers; the lengths of the others are estimated from their words (%.2f tokens a word)", counted, l.perWord)
	}
}

// fill is conversation i with the lengths of its answers. It leaves s as it is: other
// cells have it too.
func (l *answerLengths) fill(s *script, i int64) *script {
	if l == nil {
		return s
	}
	out := *s
	out.turns = make([]turn, len(s.turns))
	for k, t := range s.turns {
		if t.asked == 0 && t.answer != "" {
			if i < int64(len(l.tokens)) {
				t.asked = l.tokens[i][k]
			}
			if t.asked == 0 {
				t.asked = max(1, int64(math.Round(float64(len(splitWords(t.answer)))*l.perWord)))
			}
		}
		out.turns[k] = t
	}
	return &out
}
