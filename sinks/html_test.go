package sinks

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/runner/result"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// TestHTMLInABrowser: the page draws its charts in a real browser, without an error and
// without the network.
func TestHTMLInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	run, cells := sample()
	scenario := filepath.Join(t.TempDir(), "s.hcl")
	if err := os.WriteFile(scenario, []byte("# </script><b>not markup</b>\nserver \"a\" {\n  api_key = \"hunter2\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run.Plan.Files, run.Plan.Secrets = []string{scenario}, []string{"hunter2"}
	dir, _ := through(t, "html", schema.Values{}, run, cells...)
	path := filepath.Join(dir, "report.html")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000", "--dump-dom", "file://"+path)
	var log strings.Builder
	cmd.Stderr = &log
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if m := regexp.MustCompile(`(?m)^.*CONSOLE.*$`).FindString(log.String()); m != "" {
		t.Errorf("the page says: %s", m)
	}
	text := string(dom)
	_, text, _ = strings.Cut(text, `id="page"`)
	text, data, _ := strings.Cut(text, `id="data"`)
	// Two engines under two loads: six charts by load, four distributions, a timeline.
	if n := strings.Count(text, "<canvas"); n != 11 {
		t.Errorf("%d charts are drawn, want 11", n)
	}
	for _, want := range []string{"<h2>benchmark.chat</h2>", "Simulated: not a measurement", "LAUNCH_EXITED", "the output-token rate rose", "# &lt;/script&gt;&lt;b&gt;not markup&lt;/b&gt;", "(sensitive)",
		"most output tokens/s", "Differences between servers: not tested for run-to-run noise", "What these marks mean", "1 of 2 thresholds not met", "2 of 4 cells not ok"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "hunter2") || strings.Contains(data, "hunter2") {
		t.Error("a secret is in the page")
	}
}

// TestHTMLStaysSmall: 100 cells and a million requests make a page under 10 MB.
func TestHTMLStaysSmall(t *testing.T) {
	p := &plan.Plan{Scenario: "big", Benchmarks: []plan.Benchmark{{Name: "b"}}}
	for i := range 100 {
		p.Cells = append(p.Cells, plan.Cell{
			Address: addr.Cell{Benchmark: "b", Repeat: 1, Axes: []addr.Axis{{Name: "server", Value: fmt.Sprint("s", i%4)}, {Name: "concurrency", Value: fmt.Sprint(i)}}},
			Server:  fmt.Sprint("server.s", i%4), Number: i + 1, Phases: []plan.Phase{{Name: "steady", Measure: true}},
		})
		p.Cells[i].Name = p.Cells[i].Address.String()
	}
	run := &result.Run{ID: "one", Scenario: "big", Plan: p}
	s, err := New(plan.Sink{Type: "html", Values: schema.Values{"path": schema.Plain("report.html")}}, t.TempDir(), Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := s.Begin(ctx, run); err != nil {
		t.Fatal(err)
	}
	records := make([]record.Record, 10_000)
	for i := range records {
		at := int64(i) * 1e8
		records[i] = record.Record{Sent: at + 1, FirstToken: at + 3e7 + int64(i)*997, FirstOut: at + 3e7, LastToken: at + 9e8, StreamEnd: at + 9e8 + int64(i)*7, InputTokens: 100, OutputTokens: 50, FirstEventTokens: 1, CachedTokens: -1, ReasoningTokens: -1, HistoryTokens: -1, AskedMin: -1, AskedMax: -1, DatasetRow: -1}
	}
	for i := range p.Cells {
		c := &result.Cell{Plan: &p.Cells[i], Server: &plan.Server{}, Records: records, Outcome: load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: 1, End: 1e12}}}}
		if i == 0 {
			c.Entries = result.Summarise(c.Plan, c.Server, records, c.Outcome)
		} else { // as large as the first
			c.Entries = append([]result.Entry{}, run.Entries[0])
			c.Entries[0].Address = c.Plan.Name
		}
		run.Entries = append(run.Entries, c.Entries...)
		if i > 4 { // charts of so many records take their time: their size is known from the first ones
			h := s.(*html)
			h.data.Distributions[c.Plan.Name+" steady"] = h.data.Distributions[p.Cells[0].Name+" steady"]
			h.data.Timelines[c.Plan.Name] = h.data.Timelines[p.Cells[0].Name]
			continue
		}
		if err := s.Cell(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.End(ctx, run); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.Path())
	if err != nil || info.Size() > 10<<20 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

// TestHTMLDataEndsNoScript: whatever texts a run has, the page's JSON stays inside its script.
func TestHTMLDataEndsNoScript(t *testing.T) {
	run, cells := sample()
	run.Scenario = "</script><script>alert(1)</script>"
	cells[0].Entries[0].Cause = "<!--<script>"
	run.Entries[0].Cause = "<!--<script>"
	dir, _ := through(t, "html", schema.Values{}, run, cells...)
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), `id="data">`)
	data, _, _ := strings.Cut(rest, "</script>")
	var v map[string]any
	if err := json.Unmarshal([]byte(data), &v); err != nil || strings.Contains(data, "<") {
		t.Errorf("the data is no whole JSON: %v", err)
	}
	if strings.Contains(string(b), "<script>alert") {
		t.Error("the scenario's name is markup")
	}
}

// TestHTMLHoverAndFilter: in a real browser a point says what it is under the mouse, a filter takes
// its cells off tables and charts and gives them back, and the eight charts of genai-bench are there.
func TestHTMLHoverAndFilter(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	run, cells := sample()
	run.Entries[0].Add("rebooted", "spark1 was started anew") // an invalid cell, of the shortest TTFT under 16 users
	for i := range int64(3) {
		for name, v := range map[string]float64{"gpu_power_watts": 45, "gpu_clock_mhz": 2400, "requests_running": 4, "kv_cache_percent": 20} {
			for _, c := range cells {
				c.Samples = append(c.Samples, record.Sample{At: 1e7 + i*2e8, From: "spark1", Name: name, Value: v + float64(i)})
			}
		}
	}
	dir, _ := through(t, "html", schema.Values{}, run, cells...)
	path := filepath.Join(dir, "report.html")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A script does what a person would and writes what it saw.
	script := `<script>
addEventListener("load", () => setTimeout(async () => {
  const saw = {}, heads = () => [...document.querySelector(".compared thead").querySelectorAll("th")].map(h => h.textContent).filter(Boolean).join(" ");
  const over = document.querySelector(".u-over"), box = over.getBoundingClientRect(), tip = over.closest("figure").querySelector(".tip");
  for (let x = 2; x < box.width && tip.style.display !== "block"; x += 6) for (let y = 2; y < box.height && tip.style.display !== "block"; y += 6) {
    over.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
  }
  saw.tip = tip.textContent;
  saw.before = heads();
  saw.time = [...document.querySelectorAll("figure.wide")].map(f => f.querySelector("figcaption").firstChild.textContent + ": " + [...f.querySelectorAll(".u-legend .u-label")].map(l => l.textContent).join(", ")).join("; ");
  const check = [...document.querySelectorAll(".filters input[type=checkbox]")].find(c => c.parentElement.textContent.trim() === "vllm");
  check.click();
  saw.filtered = heads();
  await new Promise(done => setTimeout(done, 50)); // charts are drawn a moment later
  saw.series = [...document.querySelector("figure").querySelectorAll(".u-legend .u-series")].map(l => l.textContent).join(" ");
  check.click();
  saw.after = heads();
  const ttft = [...document.querySelectorAll(".compared tbody tr")].filter(r => r.textContent.includes("users=16"))[1];
  const vllm = ttft.cells[ttft.cells.length - 2]; // a number's first row has its name too
  saw.invalid = vllm.textContent + " " + vllm.className.trim();
  saw.short = [...document.querySelectorAll(".short tbody tr")].map(r => r.cells[2].textContent).join(" ");
  const details = [...document.querySelectorAll("details")].find(d => d.textContent.startsWith("The eight charts"));
  details.open = true;
  setTimeout(async () => {
    saw.eight = [...details.querySelectorAll("figure")].map(f => f.querySelector("figcaption").textContent + (f.querySelector("canvas") ? "" : " without values")).join("; ");
    details.open = false;
    dispatchEvent(new Event("beforeprint"));
    await new Promise(done => setTimeout(done, 50));
    saw.printed = [...document.querySelectorAll("details")].every(d => d.open) + " " + [...new Set([...document.querySelectorAll(".u-wrap")].map(w => w.style.width))].sort().join(" ");
    dispatchEvent(new Event("afterprint"));
    await new Promise(done => setTimeout(done, 50));
    saw.after_print = details.open + " " + [...document.querySelectorAll(".u-wrap")].every(w => w.style.width !== "640px" && w.style.width !== "1340px");
    document.body.append(Object.assign(document.createElement("pre"), { id: "saw", textContent: JSON.stringify(saw) }));
  }, 300);
}, 300));
</script></body>`
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), "</body>", script, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000", "--dump-dom", "file://"+path)
	var log strings.Builder
	cmd.Stderr = &log
	dom, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(dom), `<pre id="saw">`)
	if !ok {
		t.Fatalf("the script did not come to its end: %s", regexp.MustCompile(`(?m)^.*CONSOLE.*$`).FindString(log.String()))
	}
	text, _, _ = strings.Cut(text, "</pre>")
	var saw struct {
		Tip, Before, Time, Filtered, Series, After, Eight, Invalid, Short, Printed string
		AfterPrint                                                                 string `json:"after_print"`
	}
	if err := json.Unmarshal([]byte(strings.NewReplacer("&gt;", ">", "&lt;", "<", "&amp;", "&").Replace(text)), &saw); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !strings.HasSuffix(saw.Time, "Timeline: output tokens/s, in flight; Power and temperature: power, GPU clock; Engine: running, KV cache") {
		t.Errorf("over time: %s", saw.Time)
	}
	if !strings.Contains(saw.Tip, "users = ") || !strings.Contains(saw.Tip, "output tokens/s: ") {
		t.Errorf("under the mouse a point says %q", saw.Tip)
	}
	if saw.Before != "vllm sglang" || saw.Filtered != "sglang" || saw.After != saw.Before || strings.Contains(saw.Series, "vllm") || !strings.Contains(saw.Series, "sglang") {
		t.Errorf("filtered: %+v", saw)
	}
	// What is invalid says so, and is never called the best.
	if saw.Invalid != "40! invalid" || saw.Short != "41*users=4 42users=16" {
		t.Errorf("an invalid cell is %q, in short: %q", saw.Invalid, saw.Short)
	}
	if saw.Printed != "true 1340px 640px" || saw.AfterPrint != "false true" {
		t.Errorf("on paper: %q, afterwards: %q", saw.Printed, saw.AfterPrint)
	}
	// 50 requests have no p99.
	if want := "Output speed per request; Mean TTFT; Mean latency; Error rateno request failed; Output speed per request; Mean TTFT; P90 latency; P99 latency without values"; saw.Eight != want {
		t.Errorf("the eight charts are %s", saw.Eight)
	}
}

// TestHTMLDifferences: the page has which servers differ by more than their repeats do.
func TestHTMLDifferences(t *testing.T) {
	dir, _ := through(t, "html", nil, repeated())
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), `id="data">`)
	text, _, _ := strings.Cut(rest, "</script>")
	var data struct{ Differences []htmlDifference }
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	if d := data.Differences; len(d) != 1 || !d[0].Tested || !d[0].Different || d[0].Cell != "users=4, steady" || d[0].Base != "vllm" || !strings.HasPrefix(d[0].Text, "+10.0 % (p = 0.0") {
		t.Errorf("%+v", d)
	}
}
