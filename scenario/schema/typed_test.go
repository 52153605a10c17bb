package schema

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"sparkrun/scenario/dist"
)

// TestTyped: values that have been JSON are again what they were.
func TestTyped(t *testing.T) {
	attrs := []Attr{
		{Name: "s", Type: String}, {Name: "i", Type: Int}, {Name: "f", Type: Float}, {Name: "b", Type: Bool}, {Name: "d", Type: Duration},
		{Name: "c", Type: Dist}, {Name: "l", Type: StringList}, {Name: "m", Type: StringMap}, {Name: "p", Type: Path}, {Name: "ps", Type: PathList},
		{Name: "r", Type: Level}, {Name: "not_set", Type: Int},
	}
	was := Values{
		"s": Plain("text"), "i": int64(1 << 40), "f": 2.5, "b": true, "d": 20 * time.Second, "c": dist.Const(7), "l": []Text{Plain("a"), Secret("b")},
		"m": map[string]Text{"k": Plain("v")}, "p": "/a", "ps": []string{"/a", "/b"}, "r": [2]float64{1, 16}, "undeclared": "x",
	}
	b, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	var got Values
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := got.Typed(attrs); err != nil {
		t.Fatal(err)
	}
	was["l"] = []Text{Plain("a"), Secret(Redacted)} // what was redacted stays so
	if !reflect.DeepEqual(got, was) {
		t.Errorf("got  %#v\nwant %#v", got, was)
	}
	var d dist.Dist
	if err := json.Unmarshal([]byte(`"uniform(6, 9)"`), &d); err != nil || d.String() != "uniform(6, 9)" {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := dist.New(d); err == nil {
		t.Error("a distribution whose parameters are not known can be sampled")
	}
	if err := (Values{"i": "x"}).Typed(attrs); err == nil {
		t.Error("a text is taken for a number")
	}
}
