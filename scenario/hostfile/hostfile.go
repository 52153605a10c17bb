// Package hostfile reads the hostfiles of Open MPI: a host a line, with its slots. It
// imports the standard library alone.
package hostfile

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Host is a line of a hostfile.
type Host struct {
	Name string // a name or an address, as the file has it
	User string // "" where the line names none
	// Slots is how many processes mpirun may start there, 0 where the file does not say
	// (Open MPI then takes the number of cores).
	Slots int
	Line  int // of its first mention, from 1
}

// mostLine is the longest line that is read, in bytes.
const mostLine = 64 << 10

// Read reads a hostfile: "[user@]host [slots=N] [max_slots=N]", everything from # on is a
// comment (Open MPI's orte_hosts(7)). A host that stands there again adds its slots to the
// first mention, one without a number counting as one, as mpirun has it. An error names
// the line.
func Read(r io.Reader) ([]Host, error) {
	var hosts []Host
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	n := 0
	for lines.Scan() {
		n++
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := fields(text)
		if len(words) == 0 {
			continue
		}
		h, err := parse(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		h.Line = n
		i := slices.IndexFunc(hosts, func(o Host) bool { return o.Name == h.Name && o.User == h.User })
		if i < 0 {
			hosts = append(hosts, h)
			continue
		}
		hosts[i].Slots = max(1, hosts[i].Slots) + max(1, h.Slots)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return hosts, nil
}

// fields are the words of a line; "slots = 2" is one word, as "slots=2" is.
func fields(line string) []string {
	words := strings.Fields(strings.ReplaceAll(line, "=", " = "))
	var out []string
	for i := 0; i < len(words); i++ {
		if words[i] == "=" && len(out) > 0 {
			out[len(out)-1] += "="
			if i+1 < len(words) {
				i++
				out[len(out)-1] += words[i]
			}
			continue
		}
		out = append(out, words[i])
	}
	return out
}

func parse(words []string) (Host, error) {
	h := Host{Name: words[0]}
	if user, name, ok := strings.Cut(h.Name, "@"); ok {
		h.User, h.Name = user, name
		if user == "" {
			return h, fmt.Errorf("%q names no user before the @", words[0])
		}
	}
	switch {
	case strings.HasPrefix(h.Name, "+"), strings.HasPrefix(h.Name, "^"):
		return h, fmt.Errorf("%q is a place in another list of hosts or leaves hosts out: name the hosts themselves", h.Name)
	case h.Name == "" || strings.Trim(h.Name, hostCharacters) != "" || strings.HasPrefix(h.Name, "-"):
		return h, fmt.Errorf("%q is no host: write a name or an address, and a # before a comment", words[0])
	}
	for _, w := range words[1:] {
		key, value, given := strings.Cut(w, "=")
		if !given {
			return h, fmt.Errorf("%q after the host is not understood: slots=N and max_slots=N are", w)
		}
		count, err := strconv.Atoi(value)
		if err != nil || count < 1 || count > mostSlots {
			return h, fmt.Errorf("%s is %q: it must be a whole number from 1 to %d", key, value, mostSlots)
		}
		switch strings.ReplaceAll(key, "-", "_") {
		case "slots", "cpu", "count":
			h.Slots = count
		case "max_slots", "slots_max", "cpu_max", "count_max": // a limit for oversubscribing
		default:
			return h, fmt.Errorf("%q is not understood: slots=N and max_slots=N are", w)
		}
	}
	return h, nil
}

// mostSlots is more than any machine runs of what we start.
const mostSlots = 65536

// hostCharacters are those of names, IPv4 and IPv6 addresses (with a zone).
const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%"
