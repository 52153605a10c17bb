package sinks

import "testing"

func TestNaturalOrder(t *testing.T) {
	for _, c := range [][2]string{{"users=4", "users=16"}, {"a2b10", "a2b11"}, {"a", "b"}, {"a1", "a1b"}} {
		if !natural(c[0], c[1]) || natural(c[1], c[0]) {
			t.Errorf("%q must come before %q", c[0], c[1])
		}
	}
}
