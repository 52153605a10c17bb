package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sparkrun/scenario/schema"
	"sparkrun/sinks"
)

const secretScenario = `
variable "fault" {
  type    = list(string)
  default = ["-life", "secret"]
}

server "a" {
  framework = "command"
  command   = concat(["faultserver", "-port", "{port}"], var.fault)
  api_key   = env("HF_TOKEN")
  env = {
    HF_TOKEN = env("HF_TOKEN")
  }
  headers = {
    X-Token = env("HF_TOKEN")
  }
}

variable "token" {
  type      = string
  sensitive = true
  default   = "none"
}

dataset "short" {
  type  = "synthetic"
  shape = "D(16,4)"
}

benchmark "chat" {
  server  = server.a
  dataset = dataset.short
  repeat  = 2

  request {
    headers = {
      X-Other = var.token
    }
  }

  record {
    content = true
  }

  phase "steady" {
    requests    = 4
    concurrency = 2
  }
}
`

// forms are the ways in which a program may write a text.
func forms(secret string) []string {
	escaped, _ := json.Marshal(secret)
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(secret)
	quoted := fmt.Sprintf("%q", secret)
	return []string{
		secret, strings.Trim(string(escaped), `"`), strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(plain.String()), `"`), `"`), strings.Trim(quoted, `"`),
		html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)),
	}
}

// shows reports whether a text has a secret in any form.
func shows(text []byte, secret string) bool {
	return slices.ContainsFunc(forms(secret), func(f string) bool { return bytes.Contains(text, []byte(f)) })
}

// insides are a file's bytes, and those of the files in it, or of the rows that it packs.
func insides(t *testing.T, path string, b []byte) [][]byte {
	all := [][]byte{b}
	if strings.HasSuffix(path, ".parquet") {
		return append(all, fmt.Appendf(nil, "%v", readTable(t, path)))
	}
	if !bytes.HasPrefix(b, []byte("PK")) { // a workbook is a ZIP file
		return all
	}
	in, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		member, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, member)
		r.Close()
	}
	return all
}

// watchProcesses looks at the process list until the returned function is called.
func watchProcesses(t *testing.T, secrets ...string) (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, p := range paths {
				b, _ := os.ReadFile(p)
				for _, s := range secrets {
					if shows(b, s) {
						t.Errorf("the process list shows it: %q", b)
						return
					}
				}
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() { close(done); ended.Wait() }
}

// TestSecretIsNowhere: tokens reach the server, and stand in no plan, log, journal, result
// of any sink, output or process list, although the server prints one, and in no form that
// an encoder gives them.
func TestSecretIsNowhere(t *testing.T) {
	const token, other = `hf_Ab"Cd\Ef<Gh&Ij/Kl+Mn`, "variable-sEcReT-4711"
	t.Parallel()
	dir, env := t.TempDir(), []string{"HF_TOKEN=" + token, "SPARKRUN_VAR_token=" + other}
	sparkrun := func(crash string, args ...string) (string, error) {
		return sparkrunIn(t, dir, append([]string{crashVariable + "=" + crash}, env...), args...)
	}
	scenario := secretScenario
	for _, k := range sinks.Kinds() {
		if !slices.ContainsFunc(k.Attrs, func(a schema.Attr) bool { return a.Required }) {
			scenario += fmt.Sprintf("\nsink %q {}\n", k.Name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "scenario.hcl"), []byte(scenario), 0o644); err != nil {
		t.Fatal(err)
	}
	stop := watchProcesses(t, token, other)
	_, _ = sparkrun("after 4", "apply", "scenario.hcl", "--run-id", "killed")
	for _, args := range [][]string{
		{"plan", "scenario.hcl"}, {"plan", "--json", "scenario.hcl"}, {"graph", "scenario.hcl"}, {"validate", "scenario.hcl"}, {"doctor", "scenario.hcl"},
		{"apply", "--verbose", "--run-id", "one", "scenario.hcl"}, {"apply", "--json", "--run-id", "two", "scenario.hcl"}, {"resume", "results/scenario/killed"},
		{"up", "--run-id", "up", "scenario.hcl"}, {"logs", "up"}, {"down", "up"},
		{"logs", "one"}, {"show", "one"}, {"runs"}, {"compare", "one", "two"}, {"compare", "--json", "one", "two"}, {"export", "one", "--sink", "markdown"},
	} {
		out, err := sparkrun("", args...)
		if err != nil || shows([]byte(out), token) || shows([]byte(out), other) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	// Servers that repeat what they were sent, when they are asked whether they are ready, and in the
	// error of a request.
	for id, fault := range map[string]string{"refused": `["-life","echo"]`, "errors": `["-mode","echo"]`} {
		out, _ := sparkrun("", "apply", "scenario.hcl", "--verbose", "--run-id", id, "--var", "fault="+fault)
		json, _ := sparkrun("", "apply", "scenario.hcl", "--json", "--run-id", id+"2", "--var", "fault="+fault)
		if want := map[string]string{"refused": "who is Bearer (sensitive)?", "errors": "I do not know Bearer (sensitive) and (sensitive)"}[id]; !strings.Contains(out, want) || !strings.Contains(json, want) {
			t.Errorf("%s: it lacks %q:\n%s", id, want, out)
		}
		if shows([]byte(out), token) || shows([]byte(out), other) || shows([]byte(json), token) || shows([]byte(json), other) {
			t.Errorf("%s: a secret is shown:\n%s\n%s", id, out, json)
		}
	}
	repeats := exec.Command("faultserver", "-life", "echo", "-url", filepath.Join(dir, "echo.url"))
	if err := repeats.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = repeats.Process.Kill(); _ = repeats.Wait() }()
	var address []byte
	for deadline := time.Now().Add(patience); len(address) == 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		address, _ = os.ReadFile(filepath.Join(dir, "echo.url"))
	}
	attached := strings.Replace(scenario, "api_key ", fmt.Sprintf("url = %q\n  api_key ", address), 1)
	attached = regexp.MustCompile(`(?s)framework = "command"\n *command *= [^\n]*`).ReplaceAllString(attached, `framework = "openai"`)
	attached = regexp.MustCompile(`(?s)\n  env = \{.*?\n  \}`).ReplaceAllString(attached, "")
	if err := os.WriteFile(filepath.Join(dir, "attached.hcl"), []byte(attached), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := sparkrun("", "doctor", "attached.hcl")
	if !strings.Contains(out, "who is Bearer (sensitive)?") || shows([]byte(out), token) {
		t.Errorf("doctor:\n%s", out)
	}
	stop()
	log, err := os.ReadFile(filepath.Join(dir, "results/scenario/one/logs/server.a.log"))
	if err != nil || !strings.Contains(string(log), fmt.Sprintf("my token is (sensitive) of length %d", len(token))) || strings.Contains(string(log), "process list") {
		t.Errorf("%v\n%s", err, log)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, text := range insides(t, path, b) {
			if shows(text, token) || shows(text, other) {
				t.Errorf("a secret stands in %s", path)
			}
		}
		files++
		return err
	})
	if err != nil || files < 30 {
		t.Errorf("%d files: %v", files, err)
	}
}

// TestArgumentsArriveAsTheyAre: what a shell or a template would change reaches a process
// byte for byte, as argument and in its environment.
func TestArgumentsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scenario := strings.Replace(crashScenario, `command   = ["faultserver", "-life", "child", "-port", "{port}"]`,
		`command   = ["faultserver", "-life", "args", "-port", "{port}", "--", "a b", "$HOME 'x' \"y\"", "{\"k\": [1]}", "two\nlines", "日本", "", "*", "{other}", "\\n", "%s", "-dash", "é\t;"]
  env = {
    ODD = "two\nlines 日本 $HOME 'x' \"y\" {\"k\": [1]}"
  }`, 1)
	if scenario == crashScenario {
		t.Fatal("the scenario has another command")
	}
	if err := os.WriteFile(filepath.Join(dir, "scenario.hcl"), []byte(scenario), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := sparkrun(t, dir, "", "apply", "scenario.hcl", "--run-id", "one"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log, err := os.ReadFile(filepath.Join(dir, "results/scenario/one/logs/server.a.log"))
	for _, want := range []string{
		`arguments ["a b" "$HOME 'x' \"y\"" "{\"k\": [1]}" "two\nlines" "日本" "" "*" "{other}" "\\n" "%s" "-dash" "é\t;"]`,
		`odd "two\nlines 日本 $HOME 'x' \"y\" {\"k\": [1]}"`,
	} {
		if err != nil || !strings.Contains(string(log), want) {
			t.Errorf("%v: the log lacks %s:\n%s", err, want, log)
		}
	}
}
