package sinks

import "testing"

func TestNaturalOrder(t *testing.T) {
	for _, c := range [][2]string{{"users=4", "users=16"}, {"a2b10", "a2b11"}, {"a", "b"}, {"a1", "a1b"}} {
		if !natural(c[0], c[1]) || natural(c[1], c[0]) {
			t.Errorf("%q must come before %q", c[0], c[1])
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.05128: "0.0513", 0.000123456: "0.000123", 0.954: "0.95", 1: "1.00", 21.52: "21.5", 1431.4: "1431"} {
		if got := short(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}
