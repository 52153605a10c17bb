package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sparkrun/scenario/plan"
	"sparkrun/targets"
	"sparkrun/targets/framework"
)

// server asks what a server of the scenario needs.
func (d *doctor) server(ctx context.Context, s *plan.Server, nodes []plan.Node) {
	fw, ok := framework.ByName(s.Framework)
	switch {
	case !ok:
		return
	case s.URL != "":
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		model, err := fw.Ready(ctx, http.DefaultClient, targets.Endpoint{URL: s.URL, Model: s.ServedName(), Key: s.APIKey, Headers: s.Headers})
		d.check(s.Address, err, "%s at %s generates", model, s.URL)
		return
	}
	launches, err := fw.Launch(*s, targets.LaunchInput{Self: d.env.Self, Port: s.Port, Nodes: targets.NodesOf(nodes, s.Group(0))})
	if err != nil {
		d.say("fail", s.Address, "%v", err)
		return
	}
	for rank, l := range launches {
		d.rank(ctx, s, s.Group(0)[rank], l)
	}
}

// rank asks the node of a program of a server for what it needs.
func (d *doctor) rank(ctx context.Context, s *plan.Server, host string, l targets.Launch) {
	n, err := d.tools.Node(host)
	if err != nil || d.silent[host] {
		return // it has been said
	}
	on := ""
	if host != "local" {
		on = " on " + host
	}
	switch {
	case l.Image != "":
		d.image(ctx, s, host, on, l.Image)
	case s.Framework == "sim":
		d.say("ok", s.Address, "its program is this one%s", on)
	default:
		out, err := n.Run(ctx, targets.Cmd{Argv: []string{"sh", "-c", `command -v -- "$1"`, "sh", l.Argv[0]}})
		if err == nil && out.ExitCode != 0 {
			err = fmt.Errorf("its program: there is no %s%s: install it, or set image", l.Argv[0], on)
		}
		d.check(s.Address, err, "its program is %s%s", strings.TrimSpace(string(out.Stdout)), on)
	}
	if l.Port == 0 || s.Port == 0 {
		return
	}
	who, err := n.Listener(ctx, l.Port)
	switch {
	case err != nil:
		d.say("fail", s.Address, "%v", err)
	case who != nil:
		d.say("fail", s.Address, "port %d%s is taken by pid %d (%s): stop it, or set another port", l.Port, on, who.Pid, who.Name)
	default:
		d.say("ok", s.Address, "port %d is free%s", l.Port, on)
	}
}

func (d *doctor) image(ctx context.Context, s *plan.Server, host, on, ref string) {
	engine, err := d.tools.Containers(host)
	var digest string
	if err == nil {
		digest, err = engine.Digest(ctx, ref)
	}
	if err == nil && digest == "" {
		d.say("note", s.Address, "image %s is not there%s: it is pulled at the start, or: docker pull %s", ref, on, ref)
		return
	}
	d.check(s.Address, err, "image %s is there%s (%s)", ref, on, digest)
}
