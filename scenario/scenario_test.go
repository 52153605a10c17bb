package scenario_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"sparkrun/runner/dataset"
	"sparkrun/scenario"
	"sparkrun/scenario/addr"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/sinks"
	"sparkrun/targets"
	"sparkrun/targets/framework"
)

// options load files from a map; anything else is not there.
func options(files map[string]string, paths ...string) scenario.Options {
	return scenario.Options{
		Paths: paths, Stdin: strings.NewReader(""),
		Env: func(string) (string, bool) { return "", false },
		ReadFile: func(p string) ([]byte, error) {
			if s, ok := files[filepath.ToSlash(p)]; ok {
				return []byte(s), nil
			}
			return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		},
		ReadDir: func(p string) ([]string, error) {
			var in []string
			for f := range files {
				if filepath.Dir(f) == p {
					in = append(in, f)
				}
			}
			slices.Sort(in)
			if in == nil || files[p] != "" {
				return nil, errors.New("no folder")
			}
			return in, nil
		},
		Registry: schema.Registry{Frameworks: framework.Kinds(), Datasets: dataset.Kinds(), Sinks: sinks.Kinds()},
		Version:  "test",
	}
}

func mustLoad(t *testing.T, text string, change ...func(*scenario.Options)) *plan.Plan {
	t.Helper()
	o := options(map[string]string{"s.hcl": text}, "s.hcl")
	for _, c := range change {
		c(&o)
	}
	s, diags := scenario.Load(o)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return s.Plan
}

var marker = regexp.MustCompile(`# ERROR: (.*)$`)

// TestBad loads every scenario of testdata/bad. A line that ends in "# ERROR: text" must
// have an error with that text, and no other line may have one.
func TestBad(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d broken scenarios, %v", len(paths), err)
	}
	for _, path := range paths {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, diags := scenario.Load(options(map[string]string{path: string(src)}, path))
		if s.Plan != nil {
			t.Errorf("%s has a plan", path)
		}
		want := map[int]string{}
		for i, l := range strings.Split(string(src), "\n") {
			if m := marker.FindStringSubmatch(l); m != nil {
				want[i+1] = m[1]
			}
		}
		for _, d := range diags.Errs() {
			var diag *hcl.Diagnostic
			errors.As(d, &diag)
			if diag.Subject == nil {
				t.Errorf("%s: no place: %s", path, d)
				continue
			}
			line := diag.Subject.Start.Line
			text, ok := want[line]
			if !ok || !strings.Contains(diag.Summary+": "+diag.Detail, text) {
				t.Errorf("%s line %d: got %s: %s\nwant %q", path, line, diag.Summary, diag.Detail, text)
			}
			want[line] = "\x00" // found
		}
		for line, text := range want {
			if text != "\x00" {
				t.Errorf("%s line %d: no error with %q; errors: %v", path, line, text, diags)
			}
		}
		var out bytes.Buffer
		_ = hcl.NewDiagnosticTextWriter(&out, s.Files, 0, false).WriteDiagnostics(diags)
		for i, l := range strings.Split(string(src), "\n") {
			if marker.MatchString(l) && !strings.Contains(out.String(), strings.TrimSpace(l)) {
				t.Errorf("%s: the printed errors lack an excerpt of line %d", path, i+1)
			}
		}
	}
}

const head = `
server "a" {
  framework = "sim"
}
server "c" {
  framework = "sim"
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
`

func bench(matrix string) string {
	return head + `
benchmark "b" {
  matrix {
` + matrix + `
  }
  server  = try(matrix.server, server.a)
  dataset = dataset.d
  repeat  = 2
  phase "steady" {
    requests    = 10
    concurrency = matrix.concurrency
  }
}
`
}

func digests(p *plan.Plan) map[string]string {
	out := map[string]string{}
	for _, c := range p.Cells {
		out[c.Canonical] = c.Digest
	}
	return out
}

// TestIdentity: what is not changed keeps its canonical address and digest, so that
// resume keeps its cells.
func TestIdentity(t *testing.T) {
	before := digests(mustLoad(t, bench("server = [server.a, server.c]\n concurrency = [1, 4]")))
	if len(before) != 8 {
		t.Fatalf("%d cells", len(before))
	}
	for name, text := range map[string]string{
		"another value":     bench("server = [server.a, server.c]\n concurrency = [1, 4, 16]"),
		"other axis order":  bench("concurrency = [1, 4]\n server = [server.a, server.c]"),
		"other value order": bench("concurrency = [4, 1]\n server = [server.c, server.a]"),
		"a metric":          bench("server = [server.a, server.c]\n concurrency = [1, 4]") + "metric \"m\" {\n value = request.ttft_ms * 2\n}\n",
		"another server":    bench("server = [server.a, server.c]\n concurrency = [1, 4]") + "server \"e\" {\n framework = \"sim\"\n}\n",
		"comments":          "# hello\n" + bench("server = [server.a, server.c]\n concurrency = [1, 4]"),
	} {
		after := digests(mustLoad(t, text))
		for canonical, d := range before {
			if after[canonical] != d {
				t.Errorf("%s: %s had digest %s, has %q", name, canonical, d, after[canonical])
			}
		}
	}
	for name, text := range map[string]string{
		"more requests": strings.Replace(bench("server = [server.a, server.c]\n concurrency = [1, 4]"), "= 10", "= 11", 1),
		"other dataset": strings.Replace(bench("server = [server.a, server.c]\n concurrency = [1, 4]"), "64", "65", 1),
	} {
		after := digests(mustLoad(t, text))
		for canonical, d := range before {
			if after[canonical] == d {
				t.Errorf("%s: %s has the same digest", name, canonical)
			}
		}
	}
}

// TestNeeds: what the largest cell asks of its dataset.
func TestNeeds(t *testing.T) {
	for phases, want := range map[string]string{
		"phase \"warmup\" {\n requests = 10\n concurrency = 1\n}\nphase \"steady\" {\n requests = 10 * matrix.n\n concurrency = 1\n}":                              "50 turns",
		"phase \"steady\" {\n duration = \"5s\"\n concurrency = 1\n}":                                                                                              "by time",
		"phase \"steady\" {\n duration = \"5s\"\n rate = matrix.n\n}":                                                                                              "20 turns",
		"phase \"warmup\" {\n conversations = 5\n concurrency = 1\n}\nphase \"steady\" {\n conversations = matrix.n\n concurrency = 1\n}":                          "9 conversations",
		"phase \"warmup\" {\n conversations = 3\n concurrency = 1\n first_turn_only = true\n}\nphase \"steady\" {\n conversations = matrix.n\n concurrency = 1\n}": "4 conversations",
		"phase \"warmup\" {\n conversations = 3\n concurrency = 1\n}\nphase \"steady\" {\n duration = \"5s\"\n concurrency = matrix.n\n}":                          "by time",
	} {
		p := mustLoad(t, "server \"sim\" {}\ndataset \"synthetic\" {\n shape = \"D(4,4)\"\n}\nbenchmark \"b\" {\n matrix {\n n = [1, 4]\n }\n server = server.sim\n dataset = dataset.synthetic\n"+phases+"\n}\n")
		if got := p.Datasets[0].Needs.String(); got != want {
			t.Errorf("%s\nneeds %s, want %s", phases, got, want)
		}
	}
}

// TestFilesAreIdentity: a dataset's files shape its digest, and those that they name in turn.
func TestFilesAreIdentity(t *testing.T) {
	const generator = `{"filetype": "generate_conversations", "num_conversations": 1, "text_files": ["t.txt"], "prompt_input": {}, "prompt_output": {}}`
	digest := func(files map[string]string) string {
		files["s.hcl"] = "server \"sim\" {}\ndataset \"conversations\" {\n path = \"g.json\"\n}\nbenchmark \"b\" {\n server = server.sim\n dataset = dataset.conversations\n phase \"p\" {\n requests = 1\n concurrency = 1\n }\n}\n"
		s, diags := scenario.Load(options(files, "s.hcl"))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return s.Plan.Cells[0].Digest
	}
	before := digest(map[string]string{"g.json": generator, "t.txt": "a text"})
	for name, c := range map[string]struct {
		files map[string]string
		same  bool
	}{
		"the same":     {map[string]string{"g.json": generator, "t.txt": "a text"}, true},
		"another text": {map[string]string{"g.json": generator, "t.txt": "another text"}, false},
		"another file": {map[string]string{"g.json": generator + " ", "t.txt": "a text"}, false},
		"no text":      {map[string]string{"g.json": generator}, false}, // whoever reads it says so
	} {
		if got := digest(c.files); (got == before) != c.same {
			t.Errorf("%s: digest %s, before %s", name, got, before)
		}
	}
}

func names(p *plan.Plan) []string {
	var out []string
	for _, c := range p.Cells {
		if c.Address.Repeat == 1 {
			out = append(out, strings.TrimSuffix(strings.TrimPrefix(c.Canonical, "benchmark.b"), "#1"))
		}
	}
	slices.Sort(out)
	return out
}

func TestMatrix(t *testing.T) {
	for matrix, want := range map[string][]string{
		"concurrency = [1, 2.5e0, 4]\n exclude = [{ concurrency = 2.5 }]":                                           {"[concurrency=1]", "[concurrency=4]"},
		"server = [server.a, server.c]\n concurrency = [1, 4]\n exclude = [{ server = server.c, concurrency = 4 }]": {"[concurrency=1,server=a]", "[concurrency=1,server=c]", "[concurrency=4,server=a]"},
		// As in GitHub Actions: the first extends what it does not contradict, the second is a cell by itself.
		"concurrency = [1, 4]\n include = [{ concurrency = 4, note = \"x y\" }, { concurrency = 9 }]": {"[concurrency=1]", "[concurrency=4,note=\"x y\"]", "[concurrency=9]"},
		"concurrency = [1]\n flags = [{ name = \"fast\", x = 1 }, { name = \"slow\", x = 2 }]":        {"[concurrency=1,flags=fast]", "[concurrency=1,flags=slow]"},
	} {
		if got := names(mustLoad(t, bench(matrix))); !slices.Equal(got, want) {
			t.Errorf("%s\ngives %q, want %q", matrix, got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	text := strings.Replace(bench("concurrency = var.n"), "server \"a\"", "variable \"n\" {\n type = list(number)\n default = [1]\n}\nserver \"a\"", 1)
	env := func(o *scenario.Options) {
		o.Env = func(n string) (string, bool) { return "2,3", n == "SPARKRUN_VAR_n" }
	}
	file := func(o *scenario.Options) {
		read := o.ReadFile
		o.ReadFile = func(p string) ([]byte, error) {
			if p == "x.vars.hcl" {
				return []byte("n = [7]"), nil
			}
			return read(p)
		}
		o.Vars = append(o.Vars, scenario.VarSetting{File: "x.vars.hcl"})
	}
	flag := func(o *scenario.Options) { o.Vars = append(o.Vars, scenario.VarSetting{Name: "n", Value: "5, 6"}) }
	for _, c := range []struct {
		change []func(*scenario.Options)
		want   []string
		source string
	}{
		{nil, []string{"[concurrency=1]"}, "default"},
		{[]func(*scenario.Options){env}, []string{"[concurrency=2]", "[concurrency=3]"}, "SPARKRUN_VAR_n"},
		{[]func(*scenario.Options){env, file}, []string{"[concurrency=7]"}, "x.vars.hcl"},
		{[]func(*scenario.Options){env, file, flag}, []string{"[concurrency=5]", "[concurrency=6]"}, "--var"},
		{[]func(*scenario.Options){env, flag, file}, []string{"[concurrency=7]"}, "x.vars.hcl"},
	} {
		p := mustLoad(t, text, c.change...)
		if got := names(p); !slices.Equal(got, c.want) || p.Variables[0].Source != c.source {
			t.Errorf("%q by %s, want %q by %s", got, p.Variables[0].Source, c.want, c.source)
		}
	}
	o := options(map[string]string{"s.hcl": text}, "s.hcl")
	o.Vars = []scenario.VarSetting{{Name: "m", Value: "1"}}
	if _, diags := scenario.Load(o); !strings.Contains(diags.Error(), "no variable") {
		t.Errorf("an unknown variable: %v", diags)
	}
	o = options(map[string]string{"s.hcl": text}, "s.hcl")
	o.Vars = []scenario.VarSetting{{Name: "n", Value: "1,x"}}
	if _, diags := scenario.Load(o); !strings.Contains(diags.Error(), "--var set n to 1,x: ") || !strings.Contains(diags.Error(), "(n is a list(number))") {
		t.Errorf("a wrong element: %v", diags)
	}
}

// TestSecrets: neither the plan nor an error shows one.
func TestSecrets(t *testing.T) {
	text := `
variable "key" {
  type      = string
  sensitive = true
}
server "a" {
  framework = "openai"
  url       = "http://127.0.0.1:1/v1"
  api_key   = var.key
  headers   = { X-Token = "t-${env("TOKEN")}" }
}
` + strings.ReplaceAll(bench("concurrency = [1]")[len(head):], "try(matrix.server, server.a)", "server.a") + `
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
`
	set := func(o *scenario.Options) {
		o.Env = func(n string) (string, bool) { return "hidden-token", n == "TOKEN" }
		o.Vars = []scenario.VarSetting{{Name: "key", Value: "hidden-key"}}
	}
	p := mustLoad(t, text, set)
	var out bytes.Buffer
	if err := p.JSON(&out); err != nil {
		t.Fatal(err)
	}
	if err := p.Text(&out, plan.TextOptions{Launch: func(s plan.Server) []string { return framework.Describe(s, nil, targets.Facts{GPUs: true}) }}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hidden") {
		t.Errorf("the plan shows a secret:\n%s", out.String())
	}
	if p.Servers[0].APIKey.Reveal() != "hidden-key" || p.Servers[0].Headers["X-Token"].Reveal() != "t-hidden-token" || len(p.Secrets) < 2 {
		t.Errorf("the secrets themselves are lost: %v", p.Secrets)
	}
	o := options(map[string]string{"s.hcl": strings.Replace(text, "t-${env(\"TOKEN\")}", "${5 + var.key}", 1)}, "s.hcl")
	set(&o)
	s, diags := scenario.Load(o)
	out.Reset()
	_ = hcl.NewDiagnosticTextWriter(&out, s.Files, 80, false).WriteDiagnostics(diags)
	if !diags.HasErrors() || strings.Contains(out.String(), "hidden") {
		t.Errorf("the error shows a secret:\n%s", out.String())
	}
}

// TestUnsetEnv: a name whose value is null is not in a server's environment; one that is set to
// nothing is.
func TestUnsetEnv(t *testing.T) {
	const text = `
server "a" {
  framework = "vllm"
  image     = "vllm:1"
  model     = "m"
  env = {
    HF_TOKEN             = try(env("HF_TOKEN"), null)
    CUDA_VISIBLE_DEVICES = ""
  }
}
dataset "d" {
  type  = "synthetic"
  shape = "D(64,8)"
}
benchmark "b" {
  server  = server.a
  dataset = dataset.d
  phase "p" {
    requests    = 1
    concurrency = 1
  }
}
`
	for value, want := range map[string][]string{"": {"CUDA_VISIBLE_DEVICES"}, "hidden": {"CUDA_VISIBLE_DEVICES", "HF_TOKEN"}} {
		p := mustLoad(t, text, func(o *scenario.Options) { o.Env = func(string) (string, bool) { return value, value != "" } })
		env, _ := p.Servers[0].Values["env"].(map[string]schema.Text)
		if got := slices.Sorted(maps.Keys(env)); !slices.Equal(got, want) {
			t.Errorf("with HF_TOKEN %q the environment has %v, want %v", value, got, want)
		}
	}
}

func TestFolderAndSelection(t *testing.T) {
	files := map[string]string{"f/1.hcl": head, "f/2.hcl": bench("concurrency = [1, 4]\n server = [server.a, server.c]")[len(head):], "f/x.vars.hcl": "nonsense {", "f/readme.md": "no"}
	o := options(files, "f")
	o.Only, o.Skip = []string{"concurrency=4"}, []string{"server=c,repeat=2"}
	s, diags := scenario.Load(o)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if s.Name != "f" || len(s.Plan.Cells) != 3 {
		t.Errorf("%s: %d cells, want 3", s.Name, len(s.Plan.Cells))
	}
	o.Only = []string{"concurrency=5"}
	if _, diags = scenario.Load(o); !strings.Contains(diags.Error(), "matches no cell") {
		t.Errorf("%v", diags)
	}
}

// TestSessions: servers that share a node follow each other.
func TestSessions(t *testing.T) {
	p := mustLoad(t, bench("server = [server.a, server.c]\n concurrency = [1, 4]"))
	if len(p.Sessions) != 2 || !slices.Equal(p.Sessions[1].After, []string{p.Sessions[0].ID}) {
		t.Errorf("sessions %+v", p.Sessions)
	}
	at := map[string]int{}
	for i, task := range p.Tasks {
		at[task.ID] = i
		for _, before := range slices.Concat(task.Needs, task.After) {
			if j, ok := at[before]; !ok || j >= i {
				t.Errorf("%s comes before %s", task.ID, before)
			}
		}
	}
}

// TestExpressions compiles conditions and metrics and runs them.
func TestExpressions(t *testing.T) {
	columns := map[string]float64{"ttft_ms": 100, "tpot_ms": 20, "output_tokens": 5, "latency_ms": 180}
	eval := func(p *metric.Program, absent string) float64 {
		var v []float64
		for _, c := range p.Columns {
			x := columns[c]
			if c == absent {
				x = nothing()
			}
			v = append(v, x)
		}
		return p.Scalar(v)
	}
	for text, want := range map[string]float64{
		"request.ttft_ms <= 100 && request.tpot_ms < 20":          0,
		"request.ttft_ms <= 100 || request.tpot_ms < 20":          1,
		"!(request.ttft_ms > 50)":                                 0,
		"request.ttft_ms == 100 ? request.tpot_ms > 1 : 1 > 2":    1,
		"max(request.ttft_ms, 3 * local.limit) >= 150":            1,
		"abs(request.tpot_ms - 50) <= 30 && request.ttft_ms != 1": 1,
	} {
		p := mustLoad(t, "locals {\n limit = 50\n}\n"+bench("concurrency = [1]")+"slo \"s\" {\n condition = "+text+"\n}\n")
		if got := eval(p.Cells[0].SLOs[0].Program, ""); got != want {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
	// An absent TPOT meets an slo, an absent TTFT does not, under a negation too.
	for text, want := range map[string]float64{"request.tpot_ms < 20": 1, "!(request.tpot_ms > 20)": 1} {
		p := mustLoad(t, bench("concurrency = [1]")+"slo \"s\" {\n condition = "+text+"\n}\n")
		if got := eval(p.Cells[0].SLOs[0].Program, "tpot_ms"); got != want {
			t.Errorf("%s with no tpot is %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"request.ttft_ms < 20", "!(request.ttft_ms > 20)"} {
		p := mustLoad(t, bench("concurrency = [1]")+"slo \"s\" {\n condition = "+text+"\n}\n")
		if got := eval(p.Cells[0].SLOs[0].Program, "ttft_ms"); got != 0 {
			t.Errorf("%s with no ttft is %v, want 0", text, got)
		}
	}
	p := mustLoad(t, bench("concurrency = [1]")+"metric \"m\" {\n value = (request.latency_ms - request.ttft_ms) / (request.output_tokens - 1)\n unit = \"ms\"\n}\n")
	if got := eval(p.Cells[0].Metrics[0].Program, ""); got != 20 {
		t.Errorf("(180 − 100) / 4 is %v", got)
	}
}

func nothing() float64 {
	zero := 0.0
	return zero / zero
}

// FuzzScenario loads anything as a scenario: an error or a plan whose addresses read
// back, never a crash.
func FuzzScenario(f *testing.F) {
	f.Add(bench("concurrency = [1, 4]\n include = [{ concurrency = 4, note = \"x\" }]"))
	for _, pattern := range []string{"testdata/bad/*.hcl", "../examples/*.hcl"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if b, err := os.ReadFile(p); err == nil {
				f.Add(string(b))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, diags := scenario.Load(options(map[string]string{"s.hcl": text}, "s.hcl"))
		if diags.HasErrors() == (s.Plan != nil) {
			t.Fatalf("plan %v with %v", s.Plan != nil, diags)
		}
		if s.Plan == nil {
			return
		}
		for _, c := range s.Plan.Cells {
			back, err := addr.Parse(c.Name)
			if err != nil || back.Canonical() != c.Canonical {
				t.Errorf("%s reads back as %v, %v", c.Name, back, err)
			}
		}
	})
}

// FuzzExpression compiles anything as a condition.
func FuzzExpression(f *testing.F) {
	for _, e := range []string{"request.ttft_ms < 5", "!(request.a > 1) || true", "max(1, request.tpot_ms, 3) == pow(2, 3)", "request.ttft_ms > 1 ? 1 < 2 : false"} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		s, _ := scenario.Load(options(map[string]string{"s.hcl": bench("concurrency = [1]") + "slo \"s\" {\n condition = " + expr + "\n}\n"}, "s.hcl"))
		if s.Plan == nil || len(s.Plan.Cells[0].SLOs) == 0 {
			return
		}
		p := s.Plan.Cells[0].SLOs[0].Program
		if got := p.Scalar(make([]float64, len(p.Columns))); got != 0 && got != 1 && got == got {
			t.Errorf("condition %s is %v", expr, got)
		}
	})
}
