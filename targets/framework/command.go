package framework

import (
	"errors"
	"fmt"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// host is the address that launched servers listen on.
const host = "127.0.0.1"

func checkCommand(v schema.Values) []schema.Problem {
	var problems []schema.Problem
	command, _ := v["command"].([]schema.Text)
	if len(command) == 0 && v.String("url") == "" {
		problems = append(problems, schema.Problem{Attr: "command", Summary: "Server without a command", Detail: `Set command = ["program", "argument", …]; {port}, {model} and {host} in it are replaced.`})
	}
	for _, arg := range command {
		if arg.Sensitive() {
			problems = append(problems, schema.Problem{Attr: "command", Summary: "Secret in a place that is shown", Detail: "Arguments are shown in plans and process lists; hand a secret over in env."})
			break
		}
	}
	return problems
}

// launchCommand is the scenario's own argv with the words in braces replaced.
func launchCommand(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	words := strings.NewReplacer("{port}", fmt.Sprint(in.Port), "{model}", s.ServedName(), "{host}", host)
	var argv []string
	for _, arg := range s.Values.Strings("command") {
		argv = append(argv, words.Replace(arg))
	}
	if len(argv) == 0 {
		return nil, errors.New("its command is empty")
	}
	env, _ := s.Values["env"].(map[string]schema.Text)
	return []targets.Launch{{Argv: argv, Env: env, Port: in.Port}}, nil
}
