package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"
)

// sshSettings are what OpenSSH would use for a host.
type sshSettings struct {
	hostName, user string
	port           int
	identityFiles  []string
	identitiesOnly bool
	agent          string // path of its socket, "" for none
	proxyJump      string // [user@]host[:port],…; "" for none
	proxyCommand   string
	knownHosts     []string
	strict         string // of StrictHostKeyChecking: "ask", "yes", "accept-new", "no"
	keyAlias       string // the name to look up in known_hosts, "" for hostName
	connect        time.Duration
	alive          time.Duration // between two questions whether it is alive
	aliveMax       int           // unanswered ones after which it is not
}

// The defaults where ~/.ssh/config says nothing. OpenSSH's own are to wait for ever: a
// machine that has run out of memory accepts connections and never answers.
const (
	defaultConnect  = 15 * time.Second
	defaultAlive    = 10 * time.Second
	defaultAliveMax = 3
)

// settingsLimit is how long `ssh -G` may take; it may run the commands of Match exec.
const settingsLimit = 10 * time.Second

// settingsOf asks OpenSSH itself what it would use for a host, so that Match, Include,
// tokens and the system's own file count as they do for ssh; where there is no ssh, the
// files are read here.
func settingsOf(ctx context.Context, lookup func(string) (string, bool), host string) (sshSettings, error) {
	if host == "" || strings.HasPrefix(host, "-") {
		return sshSettings{}, fmt.Errorf("read ~/.ssh/config: %q is no host", host)
	}
	home, _ := lookup("HOME")
	var get func(key string) []string
	program, err := exec.LookPath("ssh")
	if err == nil {
		get, err = askSSH(ctx, program, home, host)
	} else {
		get, err = readSSHConfig(home, host)
	}
	if err != nil {
		return sshSettings{}, fmt.Errorf("read ~/.ssh/config for %s: %w", host, err)
	}
	return settings(get, lookup, home, host)
}

// askSSH runs `ssh -G`, which prints "key value" lines and connects to nobody.
func askSSH(ctx context.Context, program, home, host string) (func(string) []string, error) {
	argv := []string{"-G"}
	// ssh takes the home folder from the user database. Another $HOME means another file.
	if u, err := user.Current(); err == nil && home != "" && u.HomeDir != home {
		file := filepath.Join(home, ".ssh", "config")
		if _, err := os.Stat(file); err != nil {
			file = os.DevNull
		}
		argv = append(argv, "-F", file)
	}
	ctx, cancel := context.WithTimeout(ctx, settingsLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(argv, host)...)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ssh -G %s: %w: %s", host, err, strings.TrimSpace(stderr.String()))
	}
	values := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[k] = append(values[k], v)
	}
	return func(key string) []string { return values[strings.ToLower(key)] }, nil
}

// readSSHConfig reads the user's and the system's file. Match exec is an error of the
// library, which is better than leaving it out.
func readSSHConfig(home, host string) (func(string) []string, error) {
	var files []*ssh_config.Config
	for _, path := range []string{filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config"} {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := ssh_config.DecodeBytes(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files = append(files, c)
	}
	return func(key string) []string {
		for _, c := range files {
			if all, err := c.GetAll(host, key); err == nil && len(all) > 0 {
				if key != "IdentityFile" {
					all = all[:1] // the first found counts
				}
				for i, v := range all {
					all[i] = unquote(v)
				}
				return all
			}
		}
		return nil
	}, nil
}

func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// settings fills in what the files leave out and checks what they say.
func settings(get func(string) []string, lookup func(string) (string, bool), home, host string) (sshSettings, error) {
	first := func(key, otherwise string) string {
		if v := get(key); len(v) > 0 && v[0] != "" {
			return v[0]
		}
		return otherwise
	}
	number := func(key string, otherwise int) (int, error) {
		v := first(key, "")
		if v == "" || v == "none" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			return 0, fmt.Errorf("%s is %q: a number is wanted", key, v)
		}
		return n, nil
	}
	s := sshSettings{
		hostName: strings.ReplaceAll(first("HostName", host), "%h", host), user: first("User", ""),
		identitiesOnly: first("IdentitiesOnly", "no") == "yes", keyAlias: first("HostKeyAlias", ""),
		proxyJump: first("ProxyJump", ""), proxyCommand: first("ProxyCommand", ""), strict: first("StrictHostKeyChecking", "ask"),
	}
	if s.user == "" {
		if u, err := user.Current(); err == nil {
			s.user = u.Username
		}
	}
	for _, none := range []*string{&s.proxyJump, &s.proxyCommand, &s.keyAlias} {
		if *none == "none" {
			*none = ""
		}
	}
	switch s.strict { // ssh -G says true and false
	case "true":
		s.strict = "yes"
	case "false", "off":
		s.strict = "no"
	}
	var port, connect, alive, aliveMax int
	var errs [4]error
	port, errs[0] = number("Port", 22)
	connect, errs[1] = number("ConnectTimeout", 0)
	alive, errs[2] = number("ServerAliveInterval", 0)
	aliveMax, errs[3] = number("ServerAliveCountMax", defaultAliveMax)
	if err := errors.Join(errs[:]...); err != nil {
		return s, err
	}
	s.port, s.connect, s.alive, s.aliveMax = port, defaultConnect, defaultAlive, max(1, aliveMax)
	if connect > 0 {
		s.connect = time.Duration(connect) * time.Second
	}
	if alive > 0 {
		s.alive = time.Duration(alive) * time.Second
	}
	path := func(p string) string {
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(home, rest)
		}
		return strings.NewReplacer("%d", home, "%h", s.hostName, "%r", s.user, "%%", "%").Replace(p)
	}
	s.identityFiles = defaultIdentities(get("IdentityFile"), path)
	for _, list := range []string{first("UserKnownHostsFile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"), first("GlobalKnownHostsFile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")} {
		for _, p := range strings.Fields(list) {
			s.knownHosts = append(s.knownHosts, path(unquote(p)))
		}
	}
	s.agent, _ = lookup("SSH_AUTH_SOCK")
	switch a := first("IdentityAgent", "SSH_AUTH_SOCK"); {
	case a == "none":
		s.agent = ""
	case strings.HasPrefix(a, "$"):
		s.agent, _ = lookup(strings.Trim(a, "${}"))
	case a != "SSH_AUTH_SOCK":
		s.agent = path(a)
	}
	return s, nil
}

// defaultIdentities are the keys of the files, or OpenSSH's own names where they say
// nothing.
func defaultIdentities(said []string, path func(string) string) []string {
	if len(said) == 0 {
		said = []string{"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk", "~/.ssh/id_xmss", "~/.ssh/id_dsa"}
	}
	var out []string
	for _, p := range said {
		if p != "none" {
			out = append(out, path(p))
		}
	}
	return out
}
