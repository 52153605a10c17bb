package framework

import (
	"maps"
	"slices"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// Describe is how a server is started, for the plan: the command as a shell would take
// it, and the files that it reads. A port that is chosen when it starts is PORT, the run's
// folder RUN; a secret is named and not shown. gpus says whether this machine has some;
// other nodes are taken to have.
func Describe(s plan.Server, gpus bool) []string {
	if s.URL != "" {
		return []string{"attach to " + s.URL}
	}
	f, ok := ByName(s.Framework)
	if !ok || !f.Kind().Launches {
		return nil
	}
	launches, err := f.Launch(s, targets.LaunchInput{Self: "sparkrun", Port: s.Port, GPUs: gpus || s.Nodes[0] != "local", Dir: "RUN/servers/" + s.Address})
	if err != nil {
		return []string{err.Error()}
	}
	var lines []string
	for _, l := range launches {
		line := processLine(l)
		if l.Image != "" {
			line = dockerLine(s, l)
		}
		if s.Port == 0 {
			line = strings.ReplaceAll(strings.ReplaceAll(line, "--port 0", "--port PORT"), ":0 ", ":PORT ")
		}
		lines = append(lines, strings.Split(line, "\n")...)
		for _, file := range l.Files {
			lines = append(lines, "file "+file.Name+":")
			for text := range strings.Lines(string(file.Content)) {
				lines = append(lines, "  "+strings.TrimSuffix(text, "\n"))
			}
		}
	}
	return lines
}

// processLine is a process with its environment.
func processLine(l targets.Launch) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(l.Env)) {
		words = append(words, name+"="+shown(l.Env[name]))
	}
	for _, arg := range l.Argv {
		words = append(words, Quote(arg))
	}
	return strings.Join(words, " ")
}

// shown is an environment value; a secret is the variable of that name in the shell.
func shown(v schema.Text) string {
	if v.Sensitive() {
		return v.String()
	}
	return Quote(v.Reveal())
}

// dockerLine is the container as `docker run` would make it. sparkrun asks the engine's
// API for the same, so that no secret stands in a command line.
func dockerLine(s plan.Server, l targets.Launch) string {
	words := []string{"docker", "run", "--network", "host", "--ulimit", "memlock=-1", "--ulimit", "stack=67108864"}
	add := func(flag string, values ...string) {
		for _, v := range values {
			words = append(words, flag, Quote(v))
		}
	}
	if l.ShmSize == "" {
		add("--ipc", "host")
	} else {
		add("--shm-size", l.ShmSize)
	}
	if l.GPUs {
		add("--gpus", "all")
	}
	if l.Privileged {
		words = append(words, "--privileged")
	}
	add("--device", l.Devices...)
	for _, m := range l.Mounts {
		home := ""
		if strings.HasPrefix(m, "~/") { // the shell's to replace
			home, m = "~/", m[2:]
		}
		words = append(words, "--volume", home+Quote(m))
	}
	for _, f := range l.Files {
		add("--volume", "RUN/servers/"+s.Address+"/"+f.Name+":"+targets.ContainerDir+"/"+f.Name+":ro")
	}
	for _, name := range slices.Sorted(maps.Keys(l.Env)) {
		if l.Env[name].Sensitive() {
			add("--env", name) // its value is not shown
			continue
		}
		add("--env", name+"="+l.Env[name].Reveal())
	}
	argv := l.Argv
	switch {
	case l.ReplaceEntrypoint && len(l.Entrypoint) > 0:
		add("--entrypoint", l.Entrypoint[0])
		argv = append(slices.Clone(l.Entrypoint[1:]), argv...)
	case l.ReplaceEntrypoint:
		add("--entrypoint", argv[0])
		argv = argv[1:]
	}
	words = append(words, Quote(l.Image))
	for _, arg := range argv {
		words = append(words, Quote(arg))
	}
	return strings.Join(words, " ")
}

// Quote is an argument as a POSIX shell takes it.
func Quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%~"
	if s != "" && strings.Trim(s, plain) == "" && s[0] != '~' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
