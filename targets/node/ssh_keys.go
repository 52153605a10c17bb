package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/melbahja/goph"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"sparkrun/targets"
)

// login is how we prove who we are: the keys of the agent and of the files, in the order
// in which OpenSSH offers them. It never asks anybody anything.
type login struct {
	signers []ssh.Signer
	tried   []string // for the error: what there was, and why a key could not be used
	agent   net.Conn // it signs during the handshake; nil for none
}

func (l *login) Close() {
	if l.agent != nil {
		l.agent.Close()
	}
}

func (l *login) auth() goph.Auth {
	return goph.Auth{ssh.PublicKeys(l.signers...)}
}

// loginFor collects the keys for a host.
func loginFor(ctx context.Context, s sshSettings) *login {
	l := &login{}
	var held []ssh.Signer
	if s.agent != "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.agent)
		if err == nil {
			l.agent = conn
			held, err = agent.NewClient(conn).Signers()
		}
		if err != nil {
			l.tried = append(l.tried, fmt.Sprintf("the agent at %s does not answer", s.agent))
		}
	}
	for _, path := range s.identityFiles {
		l.identity(path, held)
	}
	if !s.identitiesOnly {
		for _, k := range held {
			l.add(k, "a key of the agent")
		}
	}
	if len(l.tried) == 0 {
		l.tried = append(l.tried, "there is no key: neither an agent nor a file")
	}
	return l
}

// identity adds the key of a file: the agent's copy of it where it has one.
func (l *login) identity(path string, held []ssh.Signer) {
	if pub, err := os.ReadFile(path + ".pub"); err == nil {
		if key, _, _, _, err := ssh.ParseAuthorizedKey(pub); err == nil {
			for _, k := range held {
				if string(k.PublicKey().Marshal()) == string(key.Marshal()) {
					l.add(k, path+" (in the agent)")
					return
				}
			}
		}
	}
	signer, err := goph.GetSigner(path, "")
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.Is(err, os.ErrNotExist):
	case errors.As(err, &locked):
		l.tried = append(l.tried, fmt.Sprintf("%s needs its passphrase (ssh-add %s)", path, path))
	case err != nil:
		l.tried = append(l.tried, fmt.Sprintf("%s can't be used: %v", path, err))
	default:
		l.add(signer, path)
	}
}

func (l *login) add(k ssh.Signer, what string) {
	known := slices.ContainsFunc(l.signers, func(o ssh.Signer) bool {
		return string(o.PublicKey().Marshal()) == string(k.PublicKey().Marshal())
	})
	if !known {
		l.signers = append(l.signers, k)
		l.tried = append(l.tried, what)
	}
}

// hostKeys checks a host's key against the known_hosts files.
type hostKeys struct {
	callback   ssh.HostKeyCallback
	algorithms []string // to ask for: those of the keys that are known
}

// hostKeysFor reads the known_hosts files. Which key a host shows depends on which it is
// asked for, so only kinds that are known are asked for, as OpenSSH does.
func hostKeysFor(s sshSettings) (hostKeys, error) {
	var there []string
	for _, p := range s.knownHosts {
		if _, err := os.Stat(p); err == nil {
			there = append(there, p)
		}
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return hostKeys{}, fmt.Errorf("read known_hosts: %w", err)
	}
	name := s.hostName
	if s.keyAlias != "" {
		name = s.keyAlias
	}
	at := net.JoinHostPort(name, strconv.Itoa(s.port))
	check := db.HostKeyCallback()
	return hostKeys{algorithms: db.HostKeyAlgorithms(at), callback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
		err := check(at, remote, key)
		switch {
		case err == nil:
			return nil
		case knownhosts.IsHostUnknown(err) && (s.strict == "accept-new" || s.strict == "no"):
			return remember(s, at, key)
		case knownhosts.IsHostUnknown(err):
			return fmt.Errorf("%w: its %s key %s is not in %s: compare it with that of the machine itself, then add it: ssh-keyscan -p %d %s >> %s", targets.ErrHostKey, key.Type(), ssh.FingerprintSHA256(key), first(s.knownHosts), s.port, s.hostName, first(s.knownHosts))
		case knownhosts.IsHostKeyChanged(err):
			return fmt.Errorf("%w: its %s key %s is not the one that was known%s: either the machine was installed anew, or another one answers in its place; if you know that it is right: ssh-keygen -f %s -R '%s'", targets.ErrHostKey, key.Type(), ssh.FingerprintSHA256(key), where(err), first(s.knownHosts), xknownhosts.Normalize(at))
		}
		return fmt.Errorf("%w: %w", targets.ErrHostKey, err) // revoked
	}}, nil
}

// where is the line of known_hosts that a key differs from.
func where(err error) string {
	var differs *xknownhosts.KeyError
	if errors.As(err, &differs) && len(differs.Want) > 0 {
		return fmt.Sprintf(" (%s:%d)", differs.Want[0].Filename, differs.Want[0].Line)
	}
	return ""
}

func first(paths []string) string {
	if len(paths) == 0 {
		return "~/.ssh/known_hosts"
	}
	return paths[0]
}

// remember adds a key that the user's config says to accept.
func remember(s sshSettings, at string, key ssh.PublicKey) error {
	f, err := os.OpenFile(first(s.knownHosts), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("%w: it can't be remembered: %w", targets.ErrHostKey, err)
	}
	_, err = f.WriteString(strings.TrimSuffix(xknownhosts.Line([]string{xknownhosts.Normalize(at)}, key), "\n") + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: it can't be remembered: %w", targets.ErrHostKey, err)
	}
	return nil
}
