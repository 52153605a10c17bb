package framework

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// engine says how an engine's command line is made of a server's block.
type engine struct {
	name string
	// program is the argv up to the model: the model itself is put behind modelFlag, or
	// alone where that is "".
	program   []string
	modelFlag string
	dash      string   // between the words of a flag: "-" or "_"
	short     []string // options of several letters that take one dash
	// negates says that a flag has a --no- form.
	negates bool
	knobs   []knob
	// ofTotal says that memory_fraction is of all memory, not of what is free after loading.
	ofTotal bool
	// claims says that it refuses to start unless that share is free.
	claims bool
	// ours are flags that sparkrun sets itself, with the attribute to use instead.
	ours map[string]string
	// config is the flag that takes the engine's own file, "" where it has none; its keys
	// are the names of flags where configFlags says so.
	config      string
	configFlags bool
	// group is what a rank of several has of its own; nil: the engine runs on one node.
	group func(m member) groupPart
	// groupFlags are those that group sets.
	groupFlags []string
	// launchers are how it can start ranks, the default first; sizes the keys of parallel
	// whose product is spread over the nodes.
	launchers, sizes []string
}

// knob is a neutral attribute, as the engine has it.
type knob struct {
	attr string // "parallel.tensor" is a key of parallel
	// flag takes the value; "" where path does.
	flag string
	// path is the place in the engine's file that takes the value.
	path string
	// args are the flags for a value that flag alone does not say.
	args func(v any) []string
}

// text prints a value as an argument.
func text(v any) string {
	switch x := v.(type) {
	case schema.Text:
		return x.Reveal()
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case map[string]any, []any:
		b, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("framework: JSON of plain data: %v", err))
		}
		return string(b)
	}
	return fmt.Sprint(v)
}

// flagName is an option's flag in the engine's dash style; one letter is a short flag.
func (e *engine) flagName(option string) string {
	if len(option) == 1 || slices.Contains(e.short, option) {
		return "-" + option
	}
	return "--" + strings.NewReplacer("-", e.dash, "_", e.dash).Replace(option)
}

// pair is a flag with its value. A value that looks like a flag must not stand alone.
func pair(flag, value string) []string {
	if strings.HasPrefix(value, "-") && strings.HasPrefix(flag, "--") {
		return []string{flag + "=" + value}
	}
	return []string{flag, value}
}

// optionArgs are the arguments of options, sorted by name: true is a bare flag, false its
// --no- form, a list the flag again and again, an object JSON.
func (e *engine) optionArgs(options schema.Values) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		flag := e.flagName(name)
		switch v := options[name].(type) {
		case bool:
			if !v {
				flag = "--no-" + strings.TrimLeft(flag, "-")
			}
			out = append(out, flag)
		case []any:
			for _, x := range v {
				out = append(out, pair(flag, text(x))...)
			}
		default:
			out = append(out, pair(flag, text(v))...)
		}
	}
	return out
}

// value is what a knob is set to.
func (k knob) value(v schema.Values) (any, bool) {
	name, key, inside := strings.Cut(k.attr, ".")
	x, ok := v[name]
	if inside {
		m, _ := x.(map[string]any)
		x, ok = m[key]
		ok = ok && x != nil
	}
	return x, ok
}

// knobArgs are the arguments of the neutral knobs.
func (e *engine) knobArgs(v schema.Values) []string {
	var out []string
	for _, k := range e.knobs {
		x, ok := k.value(v)
		switch {
		case !ok || k.path != "":
		case k.args != nil:
			out = append(out, k.args(x)...)
		default:
			out = append(out, pair(k.flag, text(x))...)
		}
	}
	return out
}

// configFile is the engine's file: config with the knobs that live in it. nil for none.
func (e *engine) configFile(v schema.Values) map[string]any {
	config, _ := v["config"].(map[string]any)
	out := copyOf(config)
	for _, k := range e.knobs {
		if x, ok := k.value(v); ok && k.path != "" {
			at := out
			words := strings.Split(k.path, ".")
			for _, w := range words[:len(words)-1] {
				in, _ := at[w].(map[string]any)
				if in == nil {
					in = map[string]any{}
				}
				at[w] = in
				at = in
			}
			at[words[len(words)-1]] = x
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// copyOf is a deep copy of an object.
func copyOf(m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if in, is := v.(map[string]any); is {
			v = copyOf(in)
		}
		out[k] = v
	}
	return out
}

// launch are the Launches of an engine, by rank.
func (e *engine) launch(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	members, err := members(s, in)
	if err != nil {
		return nil, err
	}
	var out []targets.Launch
	for _, m := range members {
		var part groupPart
		if len(members) > 1 {
			if part, err = e.part(m); err != nil {
				return nil, err
			}
		}
		out = append(out, e.rank(m, part))
	}
	return out, nil
}

// rank is the Launch of one rank.
func (e *engine) rank(m member, part groupPart) targets.Launch {
	s, l := m.server, m.base(part)
	if part.instead != nil {
		l.Argv = part.instead
		return withSetup(l, s.Values.Strings("setup"))
	}
	argv := append(slices.Clone(part.before), e.program...)
	if part.before != nil {
		l.Program = e.program[0]
	}
	if s.Model != "" {
		if e.modelFlag != "" {
			argv = append(argv, e.modelFlag)
		}
		argv = append(argv, s.Model)
	}
	if m.rank == 0 {
		argv = append(argv, "--host", m.in.Node(0).Listen(), "--port", m.in.PortText())
	}
	argv = append(argv, e.knobArgs(s.Values)...)
	argv = append(argv, part.args...)
	if e.claims {
		l.MemoryShare = s.Values.Float("memory_fraction")
	}
	if config := e.configFile(s.Values); config != nil {
		name := e.name + ".yml"
		for k, v := range config {
			if _, object := v.(map[string]any); object && e.configFlags {
				config[k] = text(v) // as the flag would take it
			}
		}
		argv = append(argv, e.config, m.in.Path(m.rank, l.Image != "", name))
		l.Files = append(l.Files, targets.File{Name: name, Content: yaml(config)})
	}
	argv = append(argv, e.optionArgs(s.Options)...)
	l.Argv = append(argv, s.Values.Strings("args")...)
	return withSetup(l, s.Values.Strings("setup"))
}

// setupName is what the shell that runs setup is called.
const setupName = "sparkrun-setup"

// withSetup runs shell commands before the program, in its place and environment. The
// program's arguments stay arguments: they are not read by the shell.
func withSetup(l targets.Launch, setup []string) targets.Launch {
	if len(setup) > 0 {
		if l.Program == "" {
			l.Program = l.Argv[0]
		}
		l.Argv = append([]string{"sh", "-c", "set -e\n" + strings.Join(setup, "\n") + "\nexec \"$@\"", setupName}, l.Argv...)
	}
	return l
}

// check finds what the engine's command line can't say, or would say twice.
func (e *engine) check(v schema.Values) []schema.Problem {
	if v.String("url") != "" {
		return nil // it is running already
	}
	problems := secretProblems(v)
	add := func(attr, summary, detail string, args ...any) {
		problems = append(problems, schema.Problem{Attr: attr, Summary: summary, Detail: fmt.Sprintf(detail, args...)})
	}
	for _, a := range neutral {
		name, _, _ := strings.Cut(a, ".")
		if _, set := (knob{attr: a}).value(v); set && !slices.ContainsFunc(e.knobs, func(k knob) bool { return k.attr == a }) {
			add(name, "Attribute without a meaning", "%s has no %s that sparkrun knows: leave it out, or set the engine's own flag in options.", e.name, a)
		}
	}
	problems = append(problems, placeProblems(v)...)
	problems = append(problems, e.rankProblems(v)...)
	problems = append(problems, e.memoryProblems(v)...)
	config, _ := v["config"].(map[string]any)
	if len(config) > 0 && e.config == "" {
		add("config", "Attribute without a meaning", "%s reads no configuration file: use options.", e.name)
	}
	for _, k := range e.knobs {
		if _, set := k.value(v); set && k.path != "" && inside(config, k.path) {
			add("config", "The same setting twice", "%s is set by %s already: keep one of them.", k.path, k.attr)
		}
	}
	said := e.said(v) // flag → the attribute that says it
	if e.configFlags {
		for _, name := range slices.Sorted(maps.Keys(config)) {
			flag := e.flagName(name)
			if other := said[flag]; other != "" {
				add("config", "The same setting twice", "%s is set by %s already: keep one of them.", name, other)
			}
			said[flag] = "config." + name
		}
	}
	options, _ := v["options"].(schema.Values)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		flag := e.flagName(name)
		if off, is := options[name].(bool); is && !off && !e.negates {
			add("options", "Flag without an opposite", "%s = false: %s has no --no- form of its flags; leave it out.", name, e.name)
		}
		if other := said[flag]; other != "" {
			add("options", "The same setting twice", "%s is set by %s already: keep one of them.", name, other)
		}
		said[flag] = "options." + name
	}
	for _, arg := range v.Strings("args") {
		flag, _, _ := strings.Cut(arg, "=")
		if other := said[flag]; other != "" {
			add("args", "The same setting twice", "%s is set by %s already: keep one of them.", flag, other)
		}
	}
	return problems
}

// mostFraction is the share of a DGX Spark's memory above which machines stop answering: it
// is the GPU's and the system's at once.
const mostFraction = 0.85

// memoryProblems are shares of the memory that are none, or dangerous.
func (e *engine) memoryProblems(v schema.Values) []schema.Problem {
	share := v.Float("memory_fraction")
	switch {
	case !v.Has("memory_fraction"):
	case share <= 0 || share > 1:
		return []schema.Problem{{Attr: "memory_fraction", Summary: "Wrong value", Detail: fmt.Sprintf("memory_fraction is %v: it is a share of the memory, above 0 and at most 1.", share)}}
	case share > mostFraction && e.ofTotal:
		return []schema.Problem{{Attr: "memory_fraction", Warning: true, Summary: "Server that leaves little memory", Detail: fmt.Sprintf("%s takes %v of all memory (memory_fraction). On a DGX Spark that is the system's too: above %v the machine may stop answering; 0.7 to 0.8 is safe there.", e.name, share, mostFraction)}}
	}
	return nil
}

// placeProblems are attributes about where a server runs that mean nothing there.
func placeProblems(v schema.Values) []schema.Problem {
	var problems []schema.Problem
	if v.Has("balance") && v.Int("replicas") < 2 {
		problems = append(problems, schema.Problem{Attr: "balance", Summary: "Attribute without a meaning", Detail: "balance spreads requests among replicas, and there is one: set replicas, or leave balance out."})
	}
	if v.Has("mounts") && len(v.Strings("mounts")) > 0 && !v.Has("image") {
		problems = append(problems, schema.Problem{Attr: "mounts", Summary: "Mounts without an image", Detail: "Mounts are for containers, and without image the server is a process: set image, or leave mounts out."})
	}
	return problems
}

// said are the flags that the knobs and sparkrun itself set, and what sets each.
func (e *engine) said(v schema.Values) map[string]string {
	said := map[string]string{}
	for flag, attr := range e.ours {
		said[flag] = attr
	}
	if len(v.Strings(schema.RanksValue)) > 1 {
		for _, flag := range e.groupFlags {
			said[flag] = "nodes"
		}
	}
	for _, k := range e.knobs {
		x, set := k.value(v)
		if !set {
			continue
		}
		for _, flag := range k.flags(x) {
			said[flag] = k.attr
		}
	}
	return said
}

// flags are the flags that a knob uses for a value, with what contradicts them.
func (k knob) flags(v any) []string {
	flags := []string{k.flag}
	if k.args != nil {
		for _, a := range k.args(v) {
			if strings.HasPrefix(a, "-") {
				flags = append(flags, a, "--no-"+strings.TrimLeft(a, "-"), "--"+strings.TrimPrefix(a, "--no-"))
			}
		}
	}
	return flags
}

// inside reports whether an object has a value at a dotted path.
func inside(m map[string]any, path string) bool {
	words := strings.Split(path, ".")
	for _, w := range words[:len(words)-1] {
		m, _ = m[w].(map[string]any)
	}
	_, ok := m[words[len(words)-1]]
	return ok
}

// neutral are the knobs that mean the same for every engine.
var neutral = []string{
	"revision", "served_name", "tokenizer", "memory_fraction", "max_model_len", "max_num_seqs", "max_batched_tokens",
	"kv_cache_dtype", "quantization", "prefix_caching", "parallel.tensor", "parallel.pipeline", "parallel.expert", "parallel.data",
}

// secretProblems are secrets where they would be shown.
func secretProblems(v schema.Values) []schema.Problem {
	var problems []schema.Problem
	for _, name := range []string{"args", "command", "setup", "mounts"} {
		list, _ := v[name].([]schema.Text)
		if slices.ContainsFunc(list, schema.Text.Sensitive) {
			problems = append(problems, schema.Problem{Attr: name, Summary: "Secret in a place that is shown", Detail: name + " is shown in plans and process lists: hand a secret over in env."})
		}
	}
	if hasSecret(v["config"]) {
		problems = append(problems, schema.Problem{Attr: "config", Summary: "Secret in a place that is shown", Detail: "The configuration file is kept with the results: hand a secret over in env."})
	}
	return problems
}

func hasSecret(v any) bool {
	switch x := v.(type) {
	case schema.Text:
		return x.Sensitive()
	case map[string]any:
		for _, e := range x {
			if hasSecret(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(x, hasSecret)
	}
	return false
}

// kind is the engine's declaration.
func (e *engine) kind(doc string) schema.Kind {
	return schema.Kind{Name: e.name, Doc: doc, Check: e.check}
}

var errNoModel = errors.New("set model: it is what the engine loads")

// needsModel is a launch that wants a model.
func needsModel(launch launchFunc) launchFunc {
	return func(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
		if s.Model == "" {
			return nil, errNoModel
		}
		return launch(s, in)
	}
}
