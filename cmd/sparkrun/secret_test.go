package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secretScenario = `
server "a" {
  framework = "command"
  command   = ["faultserver", "-life", "secret", "-port", "{port}"]
  api_key   = env("HF_TOKEN")
  env = {
    HF_TOKEN = env("HF_TOKEN")
  }
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  server  = server.a
  dataset = dataset.short

  phase "steady" {
    requests    = 4
    concurrency = 2
  }
}
`

// TestSecretIsNowhere: a token reaches the server, and stands in no plan, log, journal,
// result, output or process list, although the server prints it.
func TestSecretIsNowhere(t *testing.T) {
	const token = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz"
	t.Setenv("HF_TOKEN", token)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "scenario.hcl"), []byte(secretScenario), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"plan", "scenario.hcl"}, {"plan", "--json", "scenario.hcl"}, {"apply", "--verbose", "--run-id", "one", "scenario.hcl"},
		{"apply", "--json", "scenario.hcl"}, {"logs", "one"},
	} {
		out, err := sparkrun(t, dir, "", args...)
		if err != nil || strings.Contains(out, token) {
			t.Errorf("%v: %v, the token is shown: %v\n%s", args, err, strings.Contains(out, token), out)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "results/scenario/one/logs/server.a.log"))
	if err != nil || !strings.Contains(string(log), "my token is (sensitive) of length 29") || strings.Contains(string(log), "process list") {
		t.Errorf("%v\n%s", err, log)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), token) {
			t.Errorf("the token stands in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
