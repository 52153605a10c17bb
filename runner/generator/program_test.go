package generator

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"sparkrun/scenario/plan"
	"sparkrun/targets"
	"sparkrun/targets/node"
)

// far is a node over SSH of a kind of its own.
type far struct {
	targets.Remote
	arch string
	puts atomic.Int64
}

func (f *far) Facts(context.Context) (targets.Facts, error) {
	return targets.Facts{OS: runtime.GOOS, Arch: f.arch}, nil
}

func (f *far) PutProgram(_ context.Context, file string) (string, error) {
	f.puts.Add(1)
	return "there" + file, nil
}

// TestBring: each node gets, once, a program that it can run, or the user is told what to do.
func TestBring(t *testing.T) {
	same, other := &far{arch: runtime.GOARCH}, &far{arch: "sparc"}
	o := Options{Self: "/self", Binary: "/other", Version: "v1", Generator: plan.Generator{Nodes: []string{"local", "same", "other", "same"}, PerNode: 2}}
	o.Node = func(name string) (targets.Node, error) {
		switch name {
		case "local":
			return node.Local{}, nil
		case "same":
			return same, nil
		case "other":
			return other, nil
		}
		return nil, errors.New("no such node")
	}
	got, err := bring(t.Context(), o)
	if err != nil || got["local"] != "/self" || got["same"] != "there/self" || got["other"] != "there/other" || same.puts.Load() != 1 {
		t.Errorf("%v, %v, brought %d times", got, err, same.puts.Load())
	}
	o.Binary = ""
	want := "bring the workers' program to other: it is " + runtime.GOOS + "/sparc, and this sparkrun is for " + runtime.GOOS + "/" + runtime.GOARCH + ": give the file of sparkrun v1 for " + runtime.GOOS + "/sparc with --worker-binary"
	if _, err := bring(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	o.Generator.Nodes = []string{"none"}
	if _, err := bring(t.Context(), o); err == nil || !strings.Contains(err.Error(), "to none: no such node") {
		t.Errorf("%v", err)
	}
}
