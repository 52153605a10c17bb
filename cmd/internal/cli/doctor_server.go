package cli

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"sparkrun/scenario/plan"
	"sparkrun/targets"
	"sparkrun/targets/framework"
	"sparkrun/targets/node"
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
	case !s.Launches:
		d.say("fail", s.Address, "it is on %s, and this version starts servers on this machine only", strings.Join(s.Nodes, ", "))
		return
	}
	launches, err := fw.Launch(*s, targets.LaunchInput{Self: d.env.Self, Port: s.Port, Nodes: targets.NodesOf(nodes, s.Group(0))})
	if err != nil {
		d.say("fail", s.Address, "%v", err)
		return
	}
	if l := launches[0]; l.Image != "" {
		d.image(ctx, s, l.Image)
	} else {
		path, err := exec.LookPath(l.Argv[0])
		if err != nil {
			err = fmt.Errorf("its program: %w: install it, or set image", err)
		}
		d.check(s.Address, err, "its program is %s", path)
	}
	if who, err := (node.Local{}).Listener(ctx, s.Port); s.Port != 0 && err == nil {
		if who != nil {
			d.say("fail", s.Address, "port %d is taken by pid %d (%s): stop it, or set another port", s.Port, who.Pid, who.Name)
			return
		}
		d.say("ok", s.Address, "port %d is free", s.Port)
	}
}

func (d *doctor) image(ctx context.Context, s *plan.Server, ref string) {
	engine, err := d.tools.Containers("local")
	var digest string
	if err == nil {
		digest, err = engine.Digest(ctx, ref)
	}
	if err == nil && digest == "" {
		d.say("note", s.Address, "image %s is not here: it is pulled at the start, or: docker pull %s", ref, ref)
		return
	}
	d.check(s.Address, err, "image %s is here (%s)", ref, digest)
}
