package node

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sparkrun/targets"
)

// bootstrap is the command line of every session, whatever runs in it: sh reads a script
// from standard input, up to a line that equals the first one, and runs it; what follows
// is the program's standard input. Arguments, environment and secrets so reach the node
// byte for byte, through whatever login shell the user has, and no process list shows them.
// A script whose end never comes is not run. read takes one byte at a time from a pipe, in
// every sh, so that it takes nothing of what follows.
const bootstrap = `exec sh -c 'IFS= read -r e || exit 90; n=$(printf "\n."); n=${n%.}; s=; while IFS= read -r l; do if [ "$l" = "$e" ]; then eval "$s"; exit; fi; s=$s$l$n; done; exit 90'`

//go:embed remote/*.sh
var remote embed.FS

// remoteScript is a script of ours without its comments.
func remoteScript(name string) string {
	b, err := remote.ReadFile("remote/" + name + ".sh")
	if err != nil {
		panic(err) // it is compiled in
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "#") {
			out.WriteString(strings.TrimLeft(line, "\t"))
		}
	}
	return out.String()
}

// script is what a session runs.
type script struct{ strings.Builder }

// ours is a script of ours with the values of its variables.
func ours(name string, variables map[string]string) *script {
	s := &script{}
	for _, k := range slices.Sorted(maps.Keys(variables)) {
		s.WriteString(k + "=" + quote(variables[k]) + "\n")
	}
	s.WriteString(remoteScript("lib") + remoteScript(name))
	return s
}

// begins is the line before what a script prints: what comes before it is from the start-up
// files of the user's shell.
const begins = "sparkrun begins\n"

// framed is the script as bootstrap reads it. Its output comes after begins.
func (s *script) framed() string {
	text := "echo " + quote(strings.TrimSuffix(begins, "\n")) + "\n" + s.String()
	end := "end"
	for lines := "\n" + text + "\n"; strings.Contains(lines, "\n"+end+"\n"); {
		end += "."
	}
	return end + "\n" + strings.TrimSuffix(text, "\n") + "\n" + end + "\n"
}

// afterBegins passes on what comes after begins.
type afterBegins struct {
	to    io.Writer
	begun bool
	seen  []byte // before that
}

// maxNoise is how much may come before begins.
const maxNoise = 1 << 20

func (w *afterBegins) Write(b []byte) (int, error) {
	if w.begun {
		return w.to.Write(b)
	}
	w.seen = append(w.seen, b...)
	at := bytes.Index(w.seen, []byte(begins))
	switch {
	case at < 0 && len(w.seen) > maxNoise:
		return 0, errors.New("its shell prints without end before anything is run")
	case at < 0:
		return len(b), nil
	}
	rest := w.seen[at+len(begins):]
	w.begun, w.seen = true, nil
	if len(rest) > 0 {
		if _, err := w.to.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// quote makes any bytes but NUL one word of sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// The names under which a process on a node has its mark: others than on this machine, as
// a node may be this machine too; the machine whose run it is; and the hash of all, which
// is what it is found by.
const (
	nodeRun    = "SPARKRUN_NODE_RUN"
	nodeServer = "SPARKRUN_NODE_SERVER"
	nodeFrom   = "SPARKRUN_NODE_FROM"
	nodeMark   = "SPARKRUN_NODE_MARK"
)

// name is what sh takes as the name of a variable.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// program writes the functions environment and program for a command.
func (n *SSH) program(c targets.Cmd, mark string) (string, error) {
	if len(c.Argv) == 0 {
		return "", errors.New("start a program: no argv")
	}
	env := map[string]string{}
	for k, v := range c.Env {
		if !name.MatchString(k) {
			return "", fmt.Errorf("start %s on %s: sh takes no environment variable of the name %q", c.Argv[0], n.opts.Name, k)
		}
		env[k] = v.Reveal()
	}
	if mark != "" {
		env[nodeMark], env[nodeFrom], env["SPT_NOENV"] = mark, n.opts.Origin, "1"
		env[nodeRun], env[nodeServer] = c.Mark.Run, c.Mark.Server
	}
	var b strings.Builder
	b.WriteString("environment() {\n:\n")
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if strings.Contains(env[k], "\x00") {
			return "", fmt.Errorf("start %s on %s: the environment variable %s has a NUL byte", c.Argv[0], n.opts.Name, k)
		}
		b.WriteString("export " + k + "=" + quote(env[k]) + "\n")
	}
	b.WriteString("}\nprogram() {\nenvironment\n")
	if c.Dir == "" {
		b.WriteString("cd\n")
	} else {
		b.WriteString("cd -- " + quote(c.Dir) + " || exit 126\n")
	}
	b.WriteString("exec")
	for _, a := range c.Argv {
		if strings.Contains(a, "\x00") {
			return "", fmt.Errorf("start %s on %s: an argument has a NUL byte", c.Argv[0], n.opts.Name)
		}
		b.WriteString(" " + quote(a))
	}
	b.WriteString("\n}\nargv0=" + quote(c.Argv[0]) + "\n")
	return b.String(), nil
}

// hash is what carries the mark is found by.
func (n *SSH) hash(m targets.Mark) string { return hashOf(n.opts.Origin, m.Run, m.Server) }
