package record

import "testing"

func TestStatusNamesRoundTrip(t *testing.T) {
	for s, want := range map[Status]string{OK: "ok", IdleTimeout: "idle_timeout", Skipped: "skipped", 429: "http_429", 599: "http_599"} {
		if s.String() != want {
			t.Errorf("status %d prints %q, want %q", s, s, want)
		}
		if back, err := ParseStatus(want); err != nil || back != s {
			t.Errorf("%q reads as %d, %v", want, back, err)
		}
	}
	for _, bad := range []string{"", "nope", "http_", "http_7", "http_99999"} {
		if _, err := ParseStatus(bad); err == nil {
			t.Errorf("%q is taken for a status", bad)
		}
	}
}
