package sinks

import (
	"fmt"
	"path/filepath"
	"slices"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// pathAttr is the file that a sink writes.
func pathAttr(name string) schema.Attr {
	return schema.Attr{Name: "path", Type: schema.String, Default: schema.Plain(name), Doc: "File, from the run's folder."}
}

// types are the sinks that their files have registered.
var types []Type

// register adds a sink type; each file does it for its own.
func register(kind schema.Kind, make func(s plan.Sink, dir string, env Env) (Sink, error)) {
	types = append(types, Type{kind, make})
}

// Kinds are the sink types.
func Kinds() []schema.Kind {
	var kinds []schema.Kind
	for _, t := range types {
		kinds = append(kinds, t.Kind)
	}
	return kinds
}

// New makes a sink; relative paths start at dir, the run's folder.
func New(s plan.Sink, dir string, env Env) (Sink, error) {
	i := slices.IndexFunc(types, func(t Type) bool { return t.Kind.Name == s.Type })
	if i < 0 {
		return nil, fmt.Errorf("%s: there is no sink type %q", s.Address, s.Type)
	}
	return types[i].New(s, dir, env)
}

func pathOf(s plan.Sink, dir string) string {
	p := s.Values.String("path")
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}
