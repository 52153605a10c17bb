package dataset

import (
	"encoding/json"
	"fmt"

	"sparkrun/runner/load"
)

// dealt is a conversation as it is dealt to another process, which plays it without having
// the dataset.
type dealt struct {
	ID     string      `json:"id"`
	Row    int64       `json:"row"`
	System string      `json:"system,omitempty"`
	Turns  []dealtTurn `json:"turns"`
}

type dealtTurn struct {
	User   string `json:"user"`
	Answer string `json:"answer,omitempty"`
	Asked  int64  `json:"asked,omitempty"`
	Least  int64  `json:"least,omitempty"`
	Most   int64  `json:"most,omitempty"`
}

// Deal is conversation i for another process, whose source OpenDealt makes of it.
// load.ErrExhausted comes from the first that the dataset does not have.
func (s *source) Deal(i int64) ([]byte, error) {
	sc, err := s.scripts.script(i)
	if err != nil {
		return nil, err
	}
	d := dealt{ID: sc.id, Row: sc.row, System: sc.system}
	for _, t := range sc.turns {
		d.Turns = append(d.Turns, dealtTurn{t.user, t.answer, t.asked, t.least, t.most})
	}
	return json.Marshal(d)
}

// OpenDealt is the source of the conversations that Deal made: next returns number i.
func OpenDealt(o Options, next func(i int64) ([]byte, error)) load.Source {
	return &source{scripts: hand(next), bodies: newBodies(o)}
}

// hand are conversations that are dealt.
type hand func(i int64) ([]byte, error)

func (h hand) script(i int64) (*script, error) {
	b, err := h(i)
	if err != nil {
		return nil, err
	}
	var d dealt
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("conversation %d as it was dealt: %w", i, err)
	}
	sc := &script{id: d.ID, row: d.Row, system: d.System}
	for _, t := range d.Turns {
		sc.turns = append(sc.turns, turn{t.User, t.Answer, t.Asked, t.Least, t.Most})
	}
	return sc, nil
}
