package addr

import (
	"reflect"
	"testing"
)

func TestPrintAndParse(t *testing.T) {
	for want, c := range map[string]Cell{
		"benchmark.chat#1": {Benchmark: "chat", Repeat: 1},
		"benchmark.multi_turn[server=vllm,concurrency=16]#2":       {"multi_turn", []Axis{{"server", "vllm"}, {"concurrency", "16"}}, 2},
		`benchmark.b[model=openai/gpt-oss-20b,note="a b",e=""]#10`: {"b", []Axis{{"model", "openai/gpt-oss-20b"}, {"note", "a b"}, {"e", ""}}, 10},
		`benchmark.b[server=vllm(max_num_seqs=256),c=4]#1`:         {"b", []Axis{{"server", "vllm(max_num_seqs=256)"}, {"c", "4"}}, 1},
		`benchmark.b[server=vllm(a=1,note="x, (y)")]#1`:            {"b", []Axis{{"server", `vllm(a=1,note="x, (y)")`}}, 1},
		`benchmark.b[server="vllm(a=)"]#1`:                         {"b", []Axis{{"server", "vllm(a=)"}}, 1},
		`benchmark.b[server="vllm(a=1"]#1`:                         {"b", []Axis{{"server", "vllm(a=1"}}, 1},
		`benchmark.b[server="vllm(a=1)x"]#1`:                       {"b", []Axis{{"server", "vllm(a=1)x"}}, 1},
	} {
		if got := c.String(); got != want {
			t.Errorf("%+v prints %s, want %s", c, got, want)
		}
		if back, err := Parse(want); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%s reads as %+v, %v", want, back, err)
		}
	}
	c := Cell{"b", []Axis{{"z", "1"}, {"a", "2"}}, 3}
	if got := c.Canonical(); got != "benchmark.b[a=2,z=1]#3" {
		t.Errorf("canonical is %s", got)
	}
	if got := c.WithoutRepeat(); got != "benchmark.b[z=1,a=2]" {
		t.Errorf("without repeat is %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "server.a", "benchmark.#1", "benchmark.a", "benchmark.a#0", "benchmark.a#01", "benchmark.a#+1", "benchmark.a[#1", "benchmark.a[]#1",
		"benchmark.a[x]#1", "benchmark.a[x=v(]#1", "benchmark.a[x=v(a=1]#1", "benchmark.a[x=v(a=1)y]#1", "benchmark.a[x=v()]#1", "benchmark.a[x=]#1", "benchmark.a[x=1;y=2]#1", `benchmark.a[x="1]#1`, "benchmark.a[x=1]#1 ",
	} {
		if c, err := Parse(s); err == nil {
			t.Errorf("%q reads as %+v", s, c)
		}
	}
}

func TestSelector(t *testing.T) {
	c := Cell{"chat", []Axis{{"server", "vllm"}, {"concurrency", "16"}, {"note", "a,b"}}, 2}
	for s, want := range map[string]bool{
		"server=vllm": true, "server=vllm,concurrency=16": true, "server=vllm,concurrency=4": false, "server=v*": true, "server=*l*m": true,
		"server=*x*": false, "repeat=2": true, "repeat=1": false, "benchmark=chat": true, "other=1": false, `note="a,b"`: true, "server=vll": false, "concurrency=1*6": true, "concurrency=16*6": false,
	} {
		sel, err := ParseSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := sel.Match(c); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
	for _, bad := range []string{"", "vllm", "=1", "a=1,", `a="1`, `a="1"x`} {
		if _, err := ParseSelector(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestVariants(t *testing.T) {
	name := Variant("vllm", []Axis{{"max_num_seqs", "256"}, {"dtype", "fp 8"}})
	if name != `vllm(dtype="fp 8",max_num_seqs=256)` {
		t.Errorf("%s: its axes are sorted, and quoted where they must be", name)
	}
	for value, want := range map[string]string{name: "vllm", "vllm": "vllm", "vllm(": "vllm(", "": "", "a(b=1)c": "a(b=1)c", "16": "16"} {
		if got := Base(value); got != want {
			t.Errorf("base of %q is %q, want %q", value, got, want)
		}
	}
	c := Cell{"chat", []Axis{{"server", "vllm(a=1,b=2)"}, {"users", "4"}}, 1}
	for s, want := range map[string]bool{
		"server=vllm": true, "server=vllm,users=4": true, "server=vllm,users=5": false, "server=vllm(a=1,b=2)": true, "server=vllm(a=1,b=2),users=4": true,
		"server=vllm(a=1*": true, "server=vllm(*b=2),users=4": true, "server=vllm(a=2*": false, "server=v*": true, `server="vllm(a=1,b=2)"`: true, "server=sglang": false,
	} {
		sel, err := ParseSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := sel.Match(c); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("benchmark.multi_turn[server=vllm,concurrency=16]#2", "axis", "a value")
	f.Add(`benchmark.b[note="a \x00b"]#1`, "x", "\xff")
	f.Add(`benchmark.b[server=vllm(a=1,b="2, )")]#1`, "server", `v(a="(",b=c)`)
	f.Fuzz(func(t *testing.T, s, axis, value string) {
		if c, err := Parse(s); err == nil {
			if back, err := Parse(c.String()); err != nil || !reflect.DeepEqual(back, c) {
				t.Errorf("%q: %+v prints %s, which reads as %+v, %v", s, c, c, back, err)
			}
		}
		if ident, rest := name(axis); ident == "" || rest != "" {
			return
		}
		c := Cell{"b", []Axis{{axis, value}}, 1}
		if back, err := Parse(c.String()); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%+v prints %s, which reads as %+v, %v", c, c, back, err)
		}
	})
}

func FuzzSelector(f *testing.F) {
	f.Add("server=v*,concurrency=16")
	f.Fuzz(func(t *testing.T, s string) {
		if sel, err := ParseSelector(s); err == nil {
			sel.Match(Cell{"chat", []Axis{{"server", "vllm"}}, 1})
		}
	})
}
