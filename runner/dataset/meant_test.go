package dataset

import "testing"

func TestMeantOnlyWhereItIsKnown(t *testing.T) {
	for record, want := range map[string]string{
		`{"id": "a", "messages": []}`: ` (a record with "messages": set type = "conversations")`,
		`{"text_input": "a"}`:         ` (a record with "text_input": set type = "jsonl")`,
		`{"id": "a", "q": 1}`:         "",
		`[1]`:                         "",
	} {
		if got := meant([]byte(record)); got != want {
			t.Errorf("%s: %q, want %q", record, got, want)
		}
	}
}
