package framework

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
	"sparkrun/targets"
)

// Describe is how a server is started, for the plan: each rank's command as a shell would
// take it, and the files that it reads. A port that is chosen when it starts is PORT, the
// run's folder RUN; a secret is named and not shown. here says what this machine has;
// other nodes are taken to have GPUs and RDMA devices.
func Describe(s plan.Server, nodes []plan.Node, here targets.Facts) []string {
	if s.URL != "" {
		return []string{"attach to " + s.URL}
	}
	f, ok := ByName(s.Framework)
	if !ok {
		return nil
	}
	var lines []string
	for replica := range s.Count() {
		in := targets.LaunchInput{Self: "sparkrun", Port: s.Port, Dir: "RUN/servers/" + s.Address, Nodes: targets.NodesOf(nodes, s.Group(replica))}
		for i := range in.Nodes {
			n := &in.Nodes[i]
			n.GPUs, n.RDMA = here.GPUs || !n.Local(), here.RDMA || !n.Local()
		}
		launches, err := f.Launch(s, in)
		if err != nil {
			return append(lines, err.Error())
		}
		for rank, l := range launches {
			if s.Count() > 1 || len(launches) > 1 {
				lines = append(lines, "# "+title(s, replica, rank, l.Role))
			}
			lines = append(lines, commandLines(s, l)...)
		}
	}
	return lines
}

// title is which rank of a server a command is of, and where it runs.
func title(s plan.Server, replica, rank int, role string) string {
	var what []string
	if s.Count() > 1 {
		what = append(what, fmt.Sprintf("replica %d", replica))
	}
	if role != "" {
		what = append(what, fmt.Sprintf("rank %d (%s)", rank, role))
	}
	return strings.Join(what, ", ") + " on " + s.Group(replica)[rank] + ":"
}

// commandLines are a rank's command and its files.
func commandLines(s plan.Server, l targets.Launch) []string {
	line := processLine(l)
	if l.Image != "" {
		line = dockerLine(s, l)
	}
	lines := []string{line}
	for _, file := range l.Files {
		if file.Name == agentName { // it is the same in every run, and long
			lines = append(lines, "# "+file.Name+": stands in for ssh between the ranks ("+strconv.Itoa(len(file.Content))+" bytes)")
			continue
		}
		lines = append(lines, "# "+file.Name+":")
		for text := range strings.Lines(string(file.Content)) {
			lines = append(lines, "#   "+strings.TrimSuffix(text, "\n"))
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
	words := []string{"docker", "run", "--network", "host"}
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
		add("--ulimit", "memlock=-1", "stack=67108864")
	}
	if l.Memory != "" {
		add("--memory", l.Memory)
		add("--memory-swap", l.Memory)
	}
	if l.Privileged {
		words = append(words, "--privileged")
	}
	add("--device", l.Devices...)
	for _, c := range l.Capabilities {
		add("--cap-add", c)
	}
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
