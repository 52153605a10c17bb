package framework

import (
	"errors"
	"strconv"
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
		problems = append(problems, schema.Problem{Attr: "command", Summary: "Server without a command", Detail: `Set command = ["program", "argument", …]; {port}, {model}, {host} and others in it are replaced (sparkrun help command).`})
	}
	problems = append(problems, (&engine{name: "command", group: commandGroup}).rankProblems(v)...)
	for _, a := range append([]string{"config", "args"}, neutral...) {
		name, _, _ := strings.Cut(a, ".")
		if _, set := (knob{attr: a}).value(v); set && a != "served_name" {
			problems = append(problems, schema.Problem{Attr: name, Summary: "Attribute without a meaning", Detail: "A command says everything itself: put it into command."})
		}
	}
	return problems
}

// launchCommand is the scenario's own argv with the words in braces replaced, on every
// rank.
func launchCommand(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	members, err := members(s, in)
	if err != nil {
		return nil, err
	}
	if len(s.Values.Strings("command")) == 0 {
		return nil, errors.New("its command is empty")
	}
	var out []targets.Launch
	for _, m := range members {
		l := m.base(groupPart{})
		words := strings.NewReplacer(
			"{port}", in.PortText(), "{model}", s.Model, "{host}", in.Node(m.rank).Listen(),
			"{rank}", strconv.Itoa(m.rank), "{size}", strconv.Itoa(len(members)), "{node}", nodeName(in.Node(m.rank)),
			"{ip}", m.ips[m.rank], "{head}", m.ips[0], "{head_port}", in.FabricPortText(0),
		)
		for _, arg := range s.Values.Strings("command") {
			l.Argv = append(l.Argv, words.Replace(arg))
		}
		out = append(out, withSetup(l, s.Values.Strings("setup")))
	}
	return out, nil
}

func nodeName(n targets.RankNode) string {
	if n.Local() {
		return "local"
	}
	return n.Name
}

// commandGroup: a command says itself what a rank does.
func commandGroup(member) groupPart { return groupPart{} }

func init() {
	register(openAI{launch: launchCommand, kind: schema.Kind{
		Name: "command", Doc: "A command of your own that serves the OpenAI API. In it are replaced {port} and {host}, where it listens, and {model}; on several nodes, where it runs once on each, {rank} from 0, {size}, {node}, {ip} (the rank's address for the others), {head} (that of rank 0, which answers requests) and {head_port} (a free port there).",
		Attrs:   []schema.Attr{{Name: "command", Type: schema.StringList, DefaultDoc: "none", Doc: "Program and arguments."}},
		Options: []schema.Attr{}, Check: checkCommand,
	}})
}
