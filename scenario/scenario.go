package scenario

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// Options are what a scenario is loaded from. Files, environment and kinds come through
// here alone, so that a test needs none of this machine.
type Options struct {
	Paths    []string // files, folders, "-"
	Stdin    io.Reader
	Env      func(name string) (string, bool)
	ReadFile func(path string) ([]byte, error)
	ReadDir  func(path string) ([]string, error) // paths of a folder's files
	// Open opens an input file, which may be large; nil: ReadFile.
	Open     func(path string) (io.ReadCloser, error)
	Vars     []VarSetting // in the order of the command line
	Only     []string     // selectors of cells
	Skip     []string
	Registry schema.Registry
	Version  string // of the program; part of every digest
}

// VarSetting sets a variable (Name and Value) or those of a file.
type VarSetting struct {
	Name, Value string
	File        string
}

// Scenario is a loaded scenario. Plan is nil where there was an error.
type Scenario struct {
	Name  string
	Plan  *plan.Plan
	Files map[string]*hcl.File // for excerpts
}

// Load reads a scenario and plans it. It touches nothing but the files it reads.
func Load(o Options) (*Scenario, hcl.Diagnostics) {
	l := &loader{Options: o, scenario: &Scenario{Files: map[string]*hcl.File{}}}
	l.load()
	return l.scenario, tidy(l.diags)
}

// Format returns a file in the one format.
func Format(src []byte, name string) ([]byte, hcl.Diagnostics) {
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		return nil, diags
	}
	return hclwrite.Format(src), nil
}

// tidy drops repeated diagnostics (a phase is read once a cell) and the values around
// them, which could be secret.
func tidy(diags hcl.Diagnostics) hcl.Diagnostics {
	seen := map[string]bool{}
	var out hcl.Diagnostics
	for _, d := range diags {
		key := fmt.Sprint(d.Severity, d.Subject, d.Summary, d.Detail)
		if seen[key] {
			continue
		}
		seen[key] = true
		d.Expression, d.EvalContext = nil, nil
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b *hcl.Diagnostic) int {
		if a.Subject == nil || b.Subject == nil || a.Subject.Filename != b.Subject.Filename {
			return 0
		}
		return a.Subject.Start.Byte - b.Subject.Start.Byte
	})
	return out
}

// loader is a scenario being loaded.
type loader struct {
	Options
	scenario *Scenario
	diags    hcl.Diagnostics
	unknown  int // attributes whose values follow from a mistake that has been reported
	plan     plan.Plan
	secrets  map[string]bool

	blocks   map[string][]*hclsyntax.Block // by type, in the files' order
	groups   map[string][]string           // the nodes of the node blocks with a hostfile
	fromFile map[string]bool               // nodes that only a hostfile names
	scope    *scope
	// variants are the names of servers with axes of their own, by the block's name.
	variants map[string][]string
}

func (l *loader) errorf(at hcl.Range, summary, detail string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: at.Ptr()})
}

func (l *loader) warnf(at hcl.Range, summary, detail string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: at.Ptr()})
}

func (l *loader) load() {
	l.secrets = map[string]bool{}
	l.read()
	if l.diags.HasErrors() {
		return
	}
	l.plan.Version, l.plan.Scenario = l.Version, l.scenario.Name
	l.scope = newScope(l)
	l.variables()
	l.locals()
	l.nodes()
	l.generator()
	l.servers()
	l.datasets()
	l.sinks()
	l.benchmarks()
	l.thresholds()
	for s := range l.secrets {
		l.plan.Secrets = append(l.plan.Secrets, s)
	}
	slices.SortFunc(l.plan.Secrets, func(a, b string) int { return len(b) - len(a) }) // a longer one first: it may contain another
	if l.diags.HasErrors() {
		return
	}
	l.choose()
	if l.diags.HasErrors() {
		return
	}
	plan.Build(&l.plan)
	for _, d := range l.diags {
		if !slices.Contains(l.plan.Warnings, d.Detail) { // a block may be read several times
			l.plan.Warnings = append(l.plan.Warnings, d.Detail)
		}
	}
	l.scenario.Plan = &l.plan
}

// read parses the files and sorts their blocks.
func (l *loader) read() {
	l.blocks = map[string][]*hclsyntax.Block{}
	for _, path := range l.Paths {
		files := []string{path}
		if path != "-" {
			if inside, err := l.ReadDir(path); err == nil {
				files = slices.DeleteFunc(inside, func(f string) bool {
					return !strings.HasSuffix(f, ".hcl") || strings.HasSuffix(f, ".vars.hcl")
				})
				if len(files) == 0 {
					l.errorf(hcl.Range{Filename: path}, "Folder without a scenario", "There is no .hcl file in %s.", path)
				}
			}
		}
		for _, f := range files {
			l.parse(f)
		}
	}
	l.scenario.Name = "stdin"
	if len(l.Paths) > 0 && l.Paths[0] != "-" {
		base := filepath.Base(filepath.Clean(l.Paths[0]))
		l.scenario.Name = strings.TrimSuffix(base, ".hcl")
	}
}

func (l *loader) parse(name string) {
	var src []byte
	var err error
	if name == "-" {
		src, err = io.ReadAll(l.Stdin)
	} else {
		src, err = l.ReadFile(name)
	}
	if err != nil {
		l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Scenario that can't be read", Detail: err.Error() + "."})
		return
	}
	l.plan.Files = append(l.plan.Files, name)
	if !l.numbers(src, name) {
		return
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	l.diags = append(l.diags, diags...)
	if file == nil {
		return
	}
	l.scenario.Files[name] = file
	if diags.HasErrors() {
		return // what the parser made of the rest is not what was meant
	}
	body := file.Body.(*hclsyntax.Body)
	for _, a := range sorted(body.Attributes) {
		l.errorf(a.NameRange, "Attribute outside a block", "A scenario consists of blocks; %s = … belongs into one, or into locals {}.", a.Name)
	}
	for _, b := range body.Blocks {
		l.block(b)
	}
}

// numbers refuses numbers with an exponent that no number of ours has: reading one takes
// hours (10 to that power is computed exactly).
func (l *loader) numbers(src []byte, name string) bool {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	ok := true
	for _, t := range tokens {
		_, exponent, has := strings.Cut(strings.ToLower(string(t.Bytes)), "e")
		if t.Type == hclsyntax.TokenNumberLit && has && len(strings.TrimLeft(exponent, "+-0")) > 3 {
			l.errorf(t.Range, "Number out of range", "%.40s is beyond what can be computed with.", t.Bytes)
			ok = false
		}
	}
	return ok
}

// block takes a top-level block.
func (l *loader) block(b *hclsyntax.Block) {
	i := slices.IndexFunc(topBlocks, func(t BlockType) bool { return t.Name == b.Type })
	if i < 0 {
		var names []string
		for _, t := range topBlocks {
			names = append(names, t.Name)
		}
		l.errorf(b.TypeRange, "Unknown block", "There is no block %q.%s", b.Type, didYouMean(b.Type, names))
		return
	}
	want := 0
	if topBlocks[i].Label {
		want = 1
	}
	if len(b.Labels) != want {
		l.errorf(b.DefRange(), "Wrong number of labels", `A %s block has %d label%s, as in: %s.`, b.Type, want, map[bool]string{true: "s"}[want != 1], topBlocks[i].example())
		return
	}
	if want == 1 {
		if !hclsyntax.ValidIdentifier(b.Labels[0]) {
			l.errorf(b.LabelRanges[0], "Wrong name", "%q is no name: use letters, digits, _ and -, a letter first.", b.Labels[0])
			return
		}
		for _, other := range l.blocks[b.Type] {
			if other.Labels[0] == b.Labels[0] {
				l.errorf(b.LabelRanges[0], "Name used twice", "%s %q is declared at %s already.", b.Type, b.Labels[0], place(other.DefRange()))
				return
			}
		}
	}
	l.blocks[b.Type] = append(l.blocks[b.Type], b)
}

func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }

func sorted(attrs hclsyntax.Attributes) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int { return a.NameRange.Start.Byte - b.NameRange.Start.Byte })
	return out
}
