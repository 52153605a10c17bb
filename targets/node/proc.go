package node

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
)

// What /proc of a Linux machine says, this one's or a node's, read here whatever this
// machine runs.

// stat is what /proc/PID/stat says of a process (proc_pid_stat(5)).
type stat struct {
	pid     int
	name    string
	zombie  bool
	session int
	started uint64 // clock ticks since boot
}

// parseStat reads a line of /proc/PID/stat. The name stands in parentheses and may hold
// any byte, parentheses too.
func parseStat(b []byte) (stat, bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return stat{}, false
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 20 {
		return stat{}, false
	}
	s := stat{name: string(b[open+1 : end]), zombie: fields[0] == "Z" || fields[0] == "X"}
	var errPid, errSession, errStarted error
	s.pid, errPid = strconv.Atoi(strings.TrimSpace(string(b[:open])))
	s.session, errSession = strconv.Atoi(fields[3])
	s.started, errStarted = strconv.ParseUint(fields[19], 10, 64)
	return s, errPid == nil && errSession == nil && errStarted == nil
}

// listening is the state LISTEN in /proc/net/tcp.
const listening = "0A"

// listenInode is the inode of the socket that listens on the port, "" for none. The lines
// are those of /proc/net/tcp: "sl local_address rem_address st …", the port in hex.
func listenInode(table string, port int) string {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != listening {
			continue
		}
		_, hexPort, ok := strings.Cut(f[1], ":")
		if b, err := hex.DecodeString(hexPort); ok && err == nil && len(b) == 2 && int(b[0])<<8|int(b[1]) == port {
			return f[9]
		}
	}
	return ""
}
