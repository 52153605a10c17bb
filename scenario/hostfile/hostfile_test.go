package hostfile

import (
	"slices"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for text, want := range map[string][]Host{
		"": nil,
		"# two Sparks\n10.20.0.11\n\n  10.20.0.12 # the second\n": {{Name: "10.20.0.11", Line: 2}, {Name: "10.20.0.12", Line: 4}},
		"spark1 slots=1 max_slots=4\r\nnvidia@spark2\tslots = 2":  {{Name: "spark1", Slots: 1, Line: 1}, {Name: "spark2", User: "nvidia", Slots: 2, Line: 2}},
		"a slots=2\nb\na slots=3\nb\nb":                           {{Name: "a", Slots: 5, Line: 1}, {Name: "b", Slots: 3, Line: 2}},
		"fe80::1%enp1s0f1np1 max-slots=2\n":                       {{Name: "fe80::1%enp1s0f1np1", Line: 1}},
		"#only\n#comments":                                        nil,
		"10.20.0.11 slots=1#no space before it\n":                 {{Name: "10.20.0.11", Slots: 1, Line: 1}},
	} {
		got, err := Read(strings.NewReader(text))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb slots=two":                `line 2: slots is "two": it must be a whole number from 1 to`,
		"a slots=0":                     `line 1: slots is "0"`,
		"a slots=":                      `line 1: slots is ""`,
		"a slots":                       `"slots" after the host is not understood: slots=N and max_slots=N are`,
		"a seats=2":                     `"seats=2" is not understood`,
		"+e:2":                          "name the hosts themselves",
		"^a":                            "name the hosts themselves",
		"@a":                            "names no user before the @",
		"a@":                            `"a@" is no host`,
		"http://a":                      `"http://a" is no host`,
		"-oProxyCommand=x":              "is no host",
		"=":                             "is no host",
		strings.Repeat("a", mostLine+1): "line 1: ",
	} {
		if got, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v, want an error with %q", text, got, err, want)
		}
	}
}

// FuzzRead: what is read is what may be dialled: no blank, no option of a program, each
// host once; and an error names its line.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a slots=2\nb", "u@h max_slots = 3 # c", "+e", "a = b", "\x00", "fe80::1%x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hosts, err := Read(strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("%q: the error %q names no line", text, err)
			}
			return
		}
		seen := map[string]bool{}
		for _, h := range hosts {
			who := h.User + "@" + h.Name
			if h.Name == "" || strings.ContainsAny(h.Name, " \t\r\n=@#/") || strings.HasPrefix(h.Name, "-") || h.Slots < 0 || h.Line < 1 || seen[who] {
				t.Errorf("%q: host %+v", text, h)
			}
			seen[who] = true
		}
	})
}
