package result

import (
	"slices"
	"strings"
	"testing"

	"sparkrun/scenario/metric"
)

func TestCompareRuns(t *testing.T) {
	base := slices.Concat(measured("a", "", 100, 101, 102, 103, 104), measured("gone", "", 50))
	other := slices.Concat(measured("new", "", 70), measured("a", "", 95, 96, 97, 98, 99))
	c := CompareRuns(Side{"one", base}, Side{"two", other})
	if len(c.Cells) != 1 || len(c.OnlyBase) != 1 || len(c.OnlyNew) != 1 || c.OnlyBase[0] != "benchmark.b[server=gone,users=4] steady" || len(c.Unlike) != 0 {
		t.Fatalf("%+v", c)
	}
	if d := c.Cells[0].Numbers[Deciding]; c.Cells[0].Base != "one" || *d.Base != 102 || *d.Other != 97 || !*d.Different {
		t.Errorf("%+v", c.Cells[0])
	}
	other[1].Workload = "another"
	if c := CompareRuns(Side{"one", base}, Side{"two", other}); len(c.Unlike) != 1 {
		t.Errorf("another workload is compared as if it were the same: %+v", c)
	}
	if c := CompareRuns(Side{"one", base[:1]}, Side{"two", other[1:2]}); c.Cells[0].Note != NotTested {
		t.Errorf("single runs: %+v", c.Cells[0])
	}
}

func TestGates(t *testing.T) {
	known := metric.ResultPaths(nil, nil)
	for _, c := range []struct {
		gate  string
		base  []float64
		other []float64
		fails bool
		why   string
	}{
		{"output_tokens_per_s<-3%", []float64{100, 101, 102, 103, 104}, []float64{95, 96, 97, 98, 99}, true, "p = 0.0079"}, // −4.9 %
		{"output_tokens_per_s<-5%", []float64{100, 101, 102, 103, 104}, []float64{95, 96, 97, 98, 99}, false, "within"},
		{"output_tokens_per_s<-3%", []float64{90, 101, 102, 109, 95}, []float64{97, 96, 110, 98, 88}, false, "no more than noise"}, // −3.96 % … noise
		{"output_tokens_per_s<-3%", []float64{100}, []float64{90}, true, NotTested},
		{"output_tokens_per_s<-3", []float64{100}, []float64{96}, true, NotTested},
		{"output_tokens_per_s < -5", []float64{100}, []float64{96}, false, "within"},
		{"output_tokens_per_s>+0", []float64{100}, []float64{100}, false, "within"},
		{"ttft_ms.p99>5%", []float64{100}, []float64{100}, true, "undecided"},
		{"output_tokens_per_s>5%", []float64{0}, []float64{1}, true, NotTested},
		{"output_tokens_per_s>5%", []float64{0}, []float64{0}, false, "within"},
	} {
		g, err := ParseGate(c.gate, known)
		if err != nil {
			t.Fatal(err)
		}
		got := Gates([]*Gate{g}, Side{"one", measured("a", "", c.base...)}, Side{"two", measured("a", "", c.other...)})
		if len(got) != 1 || got[0].Fails != c.fails || !strings.Contains(got[0].Why, c.why) {
			t.Errorf("%s, %v to %v: %+v, want %v and %q", c.gate, c.base, c.other, got, c.fails, c.why)
		}
	}
	for gate, want := range map[string]string{
		"ttft_ms.p50": "write it as", "ttft.p50>5%": "there is no number ttft.p50", "ttft_ms.p50>-5%": "holds also where nothing has changed", "ttft_ms.p50<5%": "holds also", "": "write it as", "x>1%>2": "write it as",
	} {
		if g, err := ParseGate(gate, known); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", gate, g, err, want)
		}
	}
}

func FuzzParseGate(f *testing.F) {
	known := metric.ResultPaths(nil, nil)
	f.Add("ttft_ms.p50>+5%")
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := ParseGate(s, known); err == nil && !slices.Contains(known, g.Path) {
			t.Errorf("%q gives %+v", s, g)
		}
	})
}
