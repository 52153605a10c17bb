package dataset

import (
	"encoding/json"
	"fmt"
)

// keysOfType are the keys by which the records of the types that have JSON are known, the
// surest first: lists of messages with an id are conversations, without one they are jsonl.
var keysOfType = []struct {
	name string
	keys []string
}{
	{"sharegpt", []string{"conversations"}},
	{"conversations", []string{"id", "messages"}},
	{"jsonl", []string{"messages"}},
	{"jsonl", []string{"prompt"}},
	{"jsonl", []string{"text_input"}},
	{"trace", []string{"timestamp", "input_length"}},
}

// meant is the end of an error about a record that is not of the type: what to set where
// another type is known by the record's keys, "" where none is.
func meant(raw []byte) string {
	var record map[string]json.RawMessage
	if json.Unmarshal(raw, &record) != nil {
		return ""
	}
known:
	for _, t := range keysOfType {
		for _, key := range t.keys {
			if _, has := record[key]; !has {
				continue known
			}
		}
		return fmt.Sprintf(` (a record with %q: set type = %q)`, t.keys[len(t.keys)-1], t.name)
	}
	return ""
}
