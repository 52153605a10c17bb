package sinks

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"sparkrun/runner/result"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// junit is JUnit's XML, which every CI system reads: a suite a benchmark with a test case a
// cell and measured phase, and a suite of the thresholds. A cell that is failed or invalid
// fails, a skipped one is skipped; a suspect one passes and says its marks.
type junit struct{ path string }

func init() {
	register(schema.Kind{Name: "junit", Doc: "JUnit's XML for CI: a test case a cell and a threshold.", Attrs: []schema.Attr{pathAttr("junit.xml")}}, newJUnit)
}

func newJUnit(s plan.Sink, dir string, _ Env) (Sink, error) { return &junit{pathOf(s, dir)}, nil }

func (s *junit) Begin(context.Context, *result.Run) error { return writable(s.path) }
func (s *junit) Cell(context.Context, *result.Cell) error { return nil }
func (s *junit) Path() string                             { return s.path }

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"` // readers expect it
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"` // s
	Timestamp  string          `xml:"timestamp,attr"`
	Hostname   string          `xml:"hostname,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
	seconds    float64
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	Time    string      `xml:"time,attr"`
	Failure *junitWhy   `xml:"failure"`
	Skipped *junitWhy   `xml:"skipped"`
	Out     *junitLines `xml:"system-out"`
}

type junitWhy struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

type junitLines struct {
	Text string `xml:",chardata"`
}

func (s *junit) End(_ context.Context, r *result.Run) error {
	doc := junitSuites{Name: r.Scenario + "/" + r.ID}
	suite := func(name string) *junitSuite {
		for i := range doc.Suites {
			if doc.Suites[i].Name == name {
				return &doc.Suites[i]
			}
		}
		doc.Suites = append(doc.Suites, junitSuite{
			Name: name, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Hostname: r.Host,
			Properties: []junitProperty{{"sparkrun", r.Version}, {"run", r.ID}, {"simulated", fmt.Sprint(r.Simulated)}},
		})
		return &doc.Suites[len(doc.Suites)-1]
	}
	for i := range r.Entries {
		e := &r.Entries[i]
		suite("benchmark."+e.Benchmark).add(cellCase(e), e.Window.Seconds)
	}
	for i := range r.Thresholds {
		t := &r.Thresholds[i]
		c := junitCase{Class: r.Scenario + ".threshold", Name: strings.TrimSpace(t.Name + " on " + t.Address + " " + t.Phase)}
		if !t.Pass {
			c.Failure = &junitWhy{Message: t.Message, Type: "threshold", Text: t.Source}
		}
		suite("thresholds").add(c, 0)
	}
	for i := range doc.Suites {
		x := &doc.Suites[i]
		x.Time = seconds(x.seconds)
		doc.Tests, doc.Failures, doc.Skipped = doc.Tests+x.Tests, doc.Failures+x.Failures, doc.Skipped+x.Skipped
	}
	return replace(s.path, func(w io.Writer) error {
		if _, err := io.WriteString(w, xml.Header); err != nil {
			return err
		}
		enc := xml.NewEncoder(w)
		enc.Indent("", "  ")
		if err := enc.Encode(doc); err != nil {
			return err
		}
		_, err := io.WriteString(w, "\n")
		return err
	})
}

func (x *junitSuite) add(c junitCase, took float64) {
	c.Time = seconds(took)
	x.seconds += took
	x.Tests++
	if c.Failure != nil {
		x.Failures++
	}
	if c.Skipped != nil {
		x.Skipped++
	}
	x.Cases = append(x.Cases, c)
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// cellCase is a cell and measured phase as a test case.
func cellCase(e *result.Entry) junitCase {
	c := junitCase{Class: "benchmark." + e.Benchmark, Name: e.Address + " " + e.Phase}
	var marks []string
	for _, m := range e.Marks {
		marks = append(marks, m.Name+": "+m.Why)
	}
	why := strings.Join(marks, "; ")
	if e.Cause != "" {
		why = strings.Join(append([]string{e.Cause}, marks...), "\n")
	}
	if why == "" && e.Requests.SuccessRate != nil {
		why = fmt.Sprintf("%d of %d requests succeeded", e.Requests.OK, e.Requests.Scheduled)
	}
	switch e.Verdict {
	case result.Failed, result.Invalid:
		c.Failure = &junitWhy{Message: firstLine(why), Type: string(e.Verdict), Text: why}
	case result.Skipped:
		c.Skipped = &junitWhy{Message: firstLine(why)}
	default:
		lines := append([]string{"verdict: " + string(e.Verdict)}, marks...)
		for _, s := range shown {
			if v := e.Value(s.path); v != nil {
				lines = append(lines, fmt.Sprintf("%s: %s", strings.TrimPrefix(strings.TrimPrefix(s.path, "metrics."), "throughput."), short(*v)))
			}
		}
		c.Out = &junitLines{strings.Join(lines, "\n")}
	}
	return c
}
