package framework

import (
	"fmt"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// ollamaKnobs are environment variables: `ollama serve` has no flags.
var ollamaKnobs = map[string]string{
	"max_num_seqs": "OLLAMA_NUM_PARALLEL", "max_model_len": "OLLAMA_CONTEXT_LENGTH", "kv_cache_dtype": "OLLAMA_KV_CACHE_TYPE",
}

// ollama has no flags to map; check knows it by its knobs.
var ollama = &engine{name: "ollama", dash: "-", knobs: []knob{{attr: "max_num_seqs"}, {attr: "max_model_len"}, {attr: "kv_cache_dtype"}}}

// ollamaServe serves, and pulls the model that is the first argument where it is not there.
const ollamaServe = `ollama serve &
pid=$!
trap 'kill "$pid"' TERM
until ollama list >/dev/null 2>&1; do kill -0 "$pid" || exit 1; sleep 0.2; done
ollama show "$1" >/dev/null 2>&1 || ollama pull "$1" || exit 1
wait "$pid"`

func launchOllama(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	if in.Ranks() > 1 {
		return nil, fmt.Errorf("it is to run on %d nodes; ollama runs on one", in.Ranks())
	}
	l := member{server: s, in: in}.base(groupPart{})
	l.Argv = []string{"sh", "-c", ollamaServe, setupName, s.Model}
	l.Env["OLLAMA_HOST"] = schema.Plain(in.Node(0).Listen() + ":" + in.PortText())
	for attr, name := range ollamaKnobs {
		if v, ok := s.Values[attr]; ok {
			l.Env[name] = schema.Plain(text(v))
		}
	}
	return []targets.Launch{withSetup(l, s.Values.Strings("setup"))}, nil
}

func checkOllama(v schema.Values) []schema.Problem {
	problems := ollama.check(v)
	options, _ := v["options"].(schema.Values)
	if (len(options) > 0 || len(v.Strings("args")) > 0) && v.String("url") == "" {
		problems = append(problems, schema.Problem{Attr: "options", Summary: "Attribute without a meaning", Detail: "ollama serve has no flags: set its OLLAMA_ variables in env."})
	}
	return problems
}

func init() {
	kind := ollama.kind("Ollama: ollama serve; the model is pulled where it is not there.")
	kind.Check = checkOllama
	register(openAI{kind: kind, launch: needsModel(launchOllama), pulls: true})
}
