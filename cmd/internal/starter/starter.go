// Package starter is the scenarios to begin with that `sparkrun init` writes: which there
// are, and how one is made to fit a server that is running already. They are files of
// package examples. It knows neither the command line nor how a server is asked.
package starter

import (
	"bytes"

	"sparkrun/examples"
)

// Scenario is one of them.
type Scenario struct {
	Name string
	Does string
	file string // of package examples
	with string // the one that a running server is written into; "" where it starts its own
}

// Scenarios are all that there are; the first is the newcomer's.
var Scenarios = []Scenario{
	{"quickstart", "three simulated engines, or the server of --url, under 1, 4 and 16 users", "quickstart.hcl", "openai.hcl"},
	{"compare", "vLLM, SGLang and TensorRT-LLM with gpt-oss-20b on one DGX Spark, one after the other", "gpt-oss-20b.hcl", ""},
	{"single-turn", "prompts and answers of five lengths under a few users and more, as genai-bench sends them", "single-turn.hcl", "single-turn.hcl"},
	{"capacity", "a search for how many users a server bears", "capacity.hcl", "capacity.hcl"},
	{"cluster", "two DGX Sparks: a model on one, over both, and a copy on each", "topology.hcl", ""},
	{"ci", "a gate for CI: thresholds, JUnit's XML and a page for a pull request", "ci.hcl", "ci.hcl"},
}

// File is the name of the file that is written.
func (s Scenario) File() string { return s.Name + ".hcl" }

// StartsServers reports whether it has no use for a server that is running.
func (s Scenario) StartsServers() bool { return s.with == "" }

// Text is the scenario.
func (s Scenario) Text() ([]byte, error) { return s.read(s.file) }

// For is the scenario for a server that is running already.
func (s Scenario) For(server Server) ([]byte, error) {
	src, err := s.read(s.with)
	if err != nil {
		return nil, err
	}
	return server.fill(src)
}

// read reads an example, whose comments call it by its own name.
func (s Scenario) read(file string) ([]byte, error) {
	src, err := examples.Files.ReadFile(file)
	return bytes.ReplaceAll(src, []byte("examples/"+file), []byte(s.File())), err
}
