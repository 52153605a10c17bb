package schema

import (
	"encoding/json"
	"io"
	"time"

	"sparkrun/scenario/dist"
)

// Type is the type of an attribute as a scenario writes it.
type Type int

// The types, with the Go type that Values holds for each.
const (
	String     Type = iota // Text (may be sensitive)
	Int                    // int64
	Float                  // float64
	Bool                   // bool
	Duration               // time.Duration, written "20s"
	Dist                   // dist.Dist: a number or a distribution
	StringList             // []Text
	StringMap              // map[string]Text
	Object                 // map[string]any: JSON-like, with Text for strings
	Path                   // string: an input file, made absolute from the file that names it
	PathList               // []string
	TimeDist               // dist.Dist of nanoseconds: a duration or a distribution
	Level                  // [2]float64: a number, or ramp(from, to)
)

// String names the type as the language reference prints it.
func (t Type) String() string {
	return [...]string{
		"string", "whole number", "number", "bool", "duration", "number or distribution",
		"list of strings", "map of strings", "object", "path", "list of paths",
		"duration or distribution", "number or ramp(from, to)",
	}[t]
}

// Binding is when the value of an attribute becomes known.
type Binding int

// Binding times in their order.
const (
	Load    Binding = iota // when the file is read: no matrix, no run-time value
	Cell                   // may use matrix.*
	Runtime                // may use a server's url or a node's facts
	Request                // metric, slo: request.* columns only
	Result                 // threshold: result.* paths only
)

// String names the binding time as error messages and the reference do.
func (b Binding) String() string {
	return [...]string{"load", "cell", "run", "request", "result"}[b]
}

// Attr declares one attribute. Default is the Go value that Values gets where the
// scenario is silent (nil: none, the key is then absent); DefaultDoc replaces it in the
// reference where a value can't say it ("what the server reports").
type Attr struct {
	Name       string
	Type       Type
	Required   bool
	Default    any
	DefaultDoc string
	Binding    Binding
	Doc        string
	Values     []string // the allowed strings, if the set is closed
}

// Kind declares a framework, a dataset type or a sink type.
type Kind struct {
	Name string
	Doc  string
	// Attrs are the attributes of the block beyond those that every block of its sort has.
	Attrs []Attr
	// Options are the keys of a server's options = {}; nil means open: they are the
	// engine's own flags and are passed through.
	Options []Attr
	// CacheReset is the path of the call (POST) that empties the prefix cache, "" for none
	// (frameworks only).
	CacheReset string
	// Timed says that conversations of such a dataset have a time, which phases can replay.
	Timed bool
	// Content says that such a sink needs the texts of prompts and answers.
	Content bool
	// Files are the files that those of the attributes name in turn: a part of the digest.
	// Broken ones are left to whoever reads them.
	Files func(v Values, open func(path string) (io.ReadCloser, error)) []string
	// Check reports what the declarations can't: it sees the decoded values.
	Check func(Values) []Problem
}

// RanksValue is the name under which Check finds the nodes of a server's ranks: a []string.
const RanksValue = "(ranks)"

// Problem is a mistake in the values of a block. Attr names the attribute ("" is the
// block); the loader adds file, line and excerpt.
type Problem struct {
	Attr    string
	Summary string // a noun phrase, without values
	Detail  string // a sentence that says what to do
	Warning bool   // it may be meant
}

// Values are the decoded attributes of a block by name; absent means not set and no default.
type Values map[string]any

// Registry holds the kinds that this build knows; cmd hands it to scenario.Load.
type Registry struct {
	Frameworks []Kind
	Datasets   []Kind
	Sinks      []Kind
}

// Text is a string that may be a secret. It prints and marshals as "(sensitive)" then;
// only Reveal gives it away.
type Text struct {
	value     string
	sensitive bool
}

// Plain makes a Text that anybody may see.
func Plain(s string) Text { return Text{value: s} }

// Secret makes a sensitive Text.
func Secret(s string) Text { return Text{value: s, sensitive: true} }

// Reveal returns the true value, for the one place that must send it.
func (t Text) Reveal() string { return t.value }

// Sensitive reports whether the value must not be shown.
func (t Text) Sensitive() bool { return t.sensitive }

// Redacted is what a secret prints as.
const Redacted = "(sensitive)"

// String prints the text, or Redacted.
func (t Text) String() string {
	if t.sensitive {
		return Redacted
	}
	return t.value
}

// MarshalJSON writes what String prints.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads a plain text; a redacted one stays redacted.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = Text{value: s, sensitive: s == Redacted}
	return nil
}

// String returns the named string, "" if it is absent.
func (v Values) String(name string) string {
	switch s := v[name].(type) {
	case Text:
		return s.Reveal()
	case string:
		return s
	}
	return ""
}

// Strings returns the named list of strings or paths.
func (v Values) Strings(name string) []string {
	switch l := v[name].(type) {
	case []string:
		return l
	case []Text:
		out := make([]string, len(l))
		for i, t := range l {
			out[i] = t.Reveal()
		}
		return out
	}
	return nil
}

// Int returns the named whole number, 0 if it is absent.
func (v Values) Int(name string) int64 { n, _ := v[name].(int64); return n }

// Float returns the named number, 0 if it is absent.
func (v Values) Float(name string) float64 { f, _ := v[name].(float64); return f }

// Bool returns the named bool, false if it is absent.
func (v Values) Bool(name string) bool { b, _ := v[name].(bool); return b }

// Duration returns the named duration, 0 if it is absent.
func (v Values) Duration(name string) time.Duration { d, _ := v[name].(time.Duration); return d }

// Dist returns the named distribution, the zero Dist if it is absent.
func (v Values) Dist(name string) dist.Dist { d, _ := v[name].(dist.Dist); return d }

// Has reports whether the attribute is set or has a default.
func (v Values) Has(name string) bool { _, ok := v[name]; return ok }
