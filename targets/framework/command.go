package framework

import (
	"errors"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

func checkCommand(v schema.Values) []schema.Problem {
	if v.String("url") != "" {
		return nil
	}
	problems := append(secretProblems(v), placeProblems(v)...)
	if len(v.Strings("command")) == 0 {
		problems = append(problems, schema.Problem{Attr: "command", Summary: "Server without a command", Detail: `Set command = ["program", "argument", …]; {port}, {model} and {host} in it are replaced.`})
	}
	for _, a := range append([]string{"config", "args"}, neutral...) {
		name, _, _ := strings.Cut(a, ".")
		if _, set := (knob{attr: a}).value(v); set && a != "served_name" {
			problems = append(problems, schema.Problem{Attr: name, Summary: "Attribute without a meaning", Detail: "A command says everything itself: put it into command."})
		}
	}
	return problems
}

// launchCommand is the scenario's own argv with the words in braces replaced.
func launchCommand(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	words := strings.NewReplacer("{port}", in.PortText(), "{model}", s.Model, "{host}", host)
	l := base(s, in)
	for _, arg := range s.Values.Strings("command") {
		l.Argv = append(l.Argv, words.Replace(arg))
	}
	if len(l.Argv) == 0 {
		return nil, errors.New("its command is empty")
	}
	return []targets.Launch{withSetup(l, s.Values.Strings("setup"))}, nil
}

func init() {
	register(openAI{launch: launchCommand, kind: schema.Kind{
		Name: "command", Doc: "A command of your own that serves the OpenAI API; {port}, {model} and {host} in it are replaced.",
		Attrs:   []schema.Attr{{Name: "command", Type: schema.StringList, DefaultDoc: "none", Doc: "Program and arguments."}},
		Options: []schema.Attr{}, Launches: true, Check: checkCommand,
	}})
}
