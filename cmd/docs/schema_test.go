package docs

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sparkrun/cmd/internal/cli"
	"sparkrun/runner"
	"sparkrun/runner/result"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

var update = flag.Bool("update", false, "write the schemas")

// object is a JSON object with its keys in one order.
type object = map[string]any

// maker makes a schema from Go types: one definition a struct.
type maker struct {
	defs  object
	types map[string]reflect.Type // that the definitions are of
	notes map[string]string       // "result.Entry.Repeat" → its comment
}

// words are the values of string types that have a closed set.
var words = map[reflect.Type][]string{
	reflect.TypeFor[result.Verdict](): {string(result.OK), string(result.Suspect), string(result.Invalid), string(result.Failed), string(result.Skipped)},
	reflect.TypeFor[runner.Outcome](): {string(runner.Succeeded), string(runner.Failed), string(runner.Skipped), string(runner.Interrupted)},
	reflect.TypeFor[plan.TaskKind](): {
		string(plan.TaskCheck), string(plan.TaskDataset), string(plan.TaskStart), string(plan.TaskCell), string(plan.TaskStop), string(plan.TaskSink), string(plan.TaskGenerator), string(plan.TaskGeneratorStop),
	},
}

func (m *maker) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[schema.Text]():
		return object{"type": "string", "description": "\"" + schema.Redacted + "\" where it is a secret."}
	case reflect.TypeFor[dist.Dist]():
		return object{"type": []string{"number", "string"}, "description": "A number, or a distribution as the scenario has it."}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	if w, ok := words[t]; ok {
		return object{"enum": w}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Pointer:
		return object{"anyOf": []any{m.of(t.Elem()), object{"type": "null"}}}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": m.of(t.Elem())}
	case reflect.Array:
		return object{"type": "array", "items": m.of(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": m.of(t.Elem())}
	case reflect.Struct:
		return m.ref(t)
	}
	return object{} // any
}

// ref refers to a struct's definition, and makes it where it is met first.
func (m *maker) ref(t reflect.Type) object {
	name := t.Name()
	if other, ok := m.types[name]; ok && other != t {
		panic("two types are called " + name + ": rename a definition")
	}
	m.types[name] = t
	if _, ok := m.defs[name]; !ok {
		m.defs[name] = nil // against circles
		m.defs[name] = m.structure(t)
	}
	return object{"$ref": "#/$defs/" + name}
}

func (m *maker) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		p := m.of(f.Type)
		if note := m.notes[t.String()+"."+f.Name]; note != "" {
			if _, is := p["$ref"]; is {
				p = object{"allOf": []any{p}}
			}
			p["description"] = note
		}
		properties[name] = p
		if !strings.Contains(rest, "omitempty") {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties, "required": required}
	if note := m.notes[t.String()]; note != "" {
		out["description"] = note
	}
	return out
}

// notes reads the comments of a package's types and fields.
func notes(t *testing.T, into map[string]string, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || files == nil {
		t.Fatalf("%s: %v", dir, err)
	}
	text := func(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			d, ok := n.(*ast.GenDecl)
			if !ok {
				return true
			}
			for _, spec := range d.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				name := file.Name.Name + "." + ts.Name.Name
				into[name] = text(d.Doc)
				if s, ok := ts.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, id := range f.Names {
							into[name+"."+id.Name] = strings.TrimSpace(text(f.Doc) + " " + text(f.Comment))
						}
					}
				}
			}
			return true
		})
	}
}

func makeSchema(t *testing.T, title string, root reflect.Type, finish func(m *maker, s object)) []byte {
	t.Helper()
	m := &maker{defs: object{}, types: map[string]reflect.Type{}, notes: map[string]string{}}
	for _, dir := range []string{"runner", "runner/result", "scenario/plan", "scenario/metric", "scenario/dist"} {
		notes(t, m.notes, filepath.Join("../..", dir))
	}
	s := m.structure(root)
	if finish != nil {
		finish(m, s)
	}
	s["$schema"], s["title"], s["$defs"] = "https://json-schema.org/draft/2020-12/schema", title, m.defs
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// data says what an event's data is, by its type.
func data(m *maker, s object) {
	var rules []any
	types := map[runner.EventType]reflect.Type{
		runner.EventRunStarted: reflect.TypeFor[runner.Started](), runner.EventCellEnded: reflect.TypeFor[[]result.Entry](), runner.EventRunEnded: reflect.TypeFor[runner.Ended](),
	}
	for _, event := range slices.Sorted(maps.Keys(types)) {
		rules = append(rules, object{
			"if":   object{"properties": object{"type": object{"const": event}}},
			"then": object{"properties": object{"data": m.of(types[event])}},
		})
	}
	s["allOf"] = rules
	s["properties"].(object)["type"].(object)["enum"] = []runner.EventType{
		runner.EventRunStarted, runner.EventTaskStarted, runner.EventTaskEnded, runner.EventPhaseStarted, runner.EventProgress, runner.EventCellEnded,
		runner.EventLog, runner.EventInterrupt, runner.EventRunEnded,
	}
}

// TestSchemas: the files are what the types say, and schemas.
func TestSchemas(t *testing.T) {
	for file, want := range map[string][]byte{
		"summary.schema.json": makeSchema(t, "summary.json of a run of sparkrun", reflect.TypeFor[result.Summary](), nil),
		"plan.schema.json":    makeSchema(t, "what sparkrun plan --json prints", reflect.TypeFor[plan.Plan](), nil),
		"event.schema.json":   makeSchema(t, "a line of sparkrun apply --json", reflect.TypeFor[runner.Event](), data),
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say: go test ./cmd/docs -update", file)
		}
		if err := compile(t, file).Validate(object{}); err == nil {
			t.Errorf("%s lets anything pass", file)
		}
	}
}

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	b, err := Schemas.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return compiled
}

// TestPlansConform: the plans of the examples. Runs' output is checked by the script
// results.txtar.
func TestPlansConform(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	s := compile(t, "plan.schema.json")
	for _, p := range paths {
		var out, errs bytes.Buffer
		none := func() int { return 0 }
		code := cli.Run(&cli.Env{
			Args: []string{"plan", "--json", p}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
			Lookup: func(string) (string, bool) { return "", false }, Now: time.Now, Exit: func(int) {}, StdoutTerminal: none, StderrTerminal: none,
		})
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", p, code, errs.String())
			continue
		}
		doc, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
