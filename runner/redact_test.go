package runner

import (
	"bytes"
	"testing"
)

func TestRedactFindsASecretCutByTwoWrites(t *testing.T) {
	var out bytes.Buffer
	r := Redact(&out, []string{"", "s3cret"})
	for _, part := range []string{"key=s3", "cret\nplain\nlast s3cret"} {
		if n, err := r.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("write %q: %d, %v", part, n, err)
		}
	}
	if got, want := out.String(), "key=(sensitive)\nplain\n"; got != want {
		t.Errorf("before flush %q, want %q", got, want)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "key=(sensitive)\nplain\nlast (sensitive)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
