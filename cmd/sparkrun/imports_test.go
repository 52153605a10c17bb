package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rule says what a package and everything below its path must not import, not even
// through others, and why.
type rule struct {
	packages []string
	forbid   []string
	why      string
}

var rules = []rule{
	{[]string{"sparkrun/scenario"}, []string{"sparkrun/runner", "sparkrun/targets", "sparkrun/sinks", "sparkrun/cmd"},
		"a scenario becomes a plan without knowing how a plan is executed"},
	{[]string{"sparkrun/runner"}, []string{"github.com/hashicorp/hcl", "github.com/zclconf/go-cty", "github.com/xuri/excelize", "github.com/melbahja/goph", "sparkrun/sinks", "sparkrun/cmd"},
		"the runner gets a plan as plain data, and sinks and nodes as interfaces"},
	{[]string{"sparkrun/targets"}, []string{"github.com/hashicorp/hcl", "github.com/zclconf/go-cty", "sparkrun/sinks", "sparkrun/cmd"},
		"targets get plain values"},
	{[]string{"sparkrun/targets/framework", "sparkrun/targets/container", "sparkrun/targets/wire", "sparkrun/targets/sim", "sparkrun/targets/telemetry", "sparkrun/sinks", "sparkrun/scenario"}, []string{"github.com/melbahja/goph", "golang.org/x/crypto/ssh"},
		"SSH is known to the nodes alone"},
	{[]string{"sparkrun/sinks"}, []string{"github.com/hashicorp/hcl", "github.com/zclconf/go-cty", "sparkrun/targets", "sparkrun/cmd"},
		"a sink sees results only, so that any can be written again from an old run"},
	{[]string{"sparkrun/scenario/addr", "sparkrun/scenario/dist", "sparkrun/scenario/hostfile", "sparkrun/scenario/metric", "sparkrun/scenario/schema", "sparkrun/scenario/plan", "sparkrun/runner/record"},
		[]string{"github.com/", "golang.org/", "go.uber.org/"},
		"leaves import the standard library and their sibling leaves"},
	{[]string{"sparkrun/runner/record"}, []string{"sparkrun/"}, "the hot path's types depend on nothing"},
	{[]string{"sparkrun/runner/load"}, []string{"sparkrun/targets", "sparkrun/runner/store", "sparkrun/runner/dataset", "net/http"},
		"the engine knows neither files nor the wire"},
	{[]string{"sparkrun/examples"}, []string{"sparkrun/"}, "scenarios are data"},
	{[]string{"sparkrun/targets/sim"}, []string{"sparkrun/runner", "sparkrun/targets/wire", "sparkrun/targets/framework"},
		"the simulator is the client's yardstick and must not share its code"},
}

func TestImportRules(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Deps", "sparkrun/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Deps       []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if !slices.ContainsFunc(r.packages, func(p string) bool { return under(pkg.ImportPath, p) }) {
				continue
			}
			for _, dep := range pkg.Deps {
				for _, f := range r.forbid {
					if under(dep, f) && !slices.ContainsFunc(r.packages, func(p string) bool { return under(dep, p) }) {
						t.Errorf("%s imports %s: %s", pkg.ImportPath, dep, r.why)
					}
				}
			}
		}
	}
}

// under reports whether a package is prefix, below it, or begins with a prefix ending in "/".
func under(pkg, prefix string) bool {
	return pkg == prefix || strings.HasPrefix(pkg, strings.TrimSuffix(prefix, "/")+"/")
}
