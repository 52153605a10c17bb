package framework

import (
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
	"sparkrun/targets/sim"
)

func checkSim(v schema.Values) []schema.Problem {
	if v.String("url") != "" {
		return nil
	}
	if problems := append(placeProblems(v), (&engine{name: "the simulator"}).rankProblems(v)...); len(problems) > 0 {
		return problems
	}
	options, _ := v["options"].(schema.Values)
	if _, err := sim.NewConfig(options); err != nil {
		return []schema.Problem{{Attr: "options", Summary: "Wrong simulator options", Detail: strings.ToUpper(err.Error()[:1]) + err.Error()[1:] + "."}}
	}
	return nil
}

// launchSim starts this program as a server. It is named sparkrun in the process list,
// and ends when its standard input closes, so that it cannot outlive us unless it shall.
func launchSim(s plan.Server, in targets.LaunchInput) ([]targets.Launch, error) {
	argv := []string{in.Self, "sim", "--port", in.PortText()}
	if n := in.Node(0); !n.Local() {
		argv = append(argv, "--host", n.Listen())
	}
	if s.Model != "" {
		argv = append(argv, "--model", s.Model)
	}
	argv = append(argv, sim.Args(s.Options)...)
	if !in.Keep {
		argv = append(argv, "--exit-on-stdin-close")
	}
	return []targets.Launch{{Argv: argv, Name: "sparkrun", Port: in.Port, Lifeline: !in.Keep}}, nil
}

func init() {
	register(openAI{launch: launchSim, kind: schema.Kind{
		Name: "sim", Doc: "The built-in simulator: timing without inference.", Options: sim.Options(), CacheReset: "/reset_prefix_cache", Check: checkSim,
	}})
}
