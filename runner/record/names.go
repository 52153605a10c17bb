package record

import (
	"fmt"
	"strconv"
	"strings"
)

var statusNames = [...]string{
	OK: "ok", Timeout: "timeout", IdleTimeout: "idle_timeout", ConnectError: "connect_error",
	TLSError: "tls_error", Reset: "reset", StreamError: "stream_error", Truncated: "truncated",
	Malformed: "malformed", Empty: "empty", Cancelled: "cancelled", Unsent: "unsent", Skipped: "skipped",
}

// String is the status as rows and tables have it: "ok", "http_429", "timeout".
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "http_" + strconv.Itoa(int(s))
}

// ParseStatus reads what String prints.
func ParseStatus(name string) (Status, error) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), nil
		}
	}
	if code, ok := strings.CutPrefix(name, "http_"); ok {
		if n, err := strconv.ParseUint(code, 10, 16); err == nil && n >= 100 {
			return Status(n), nil
		}
	}
	return 0, fmt.Errorf("unknown status %q", name)
}

var tokenSourceNames = [...]string{
	TokensUnknown: "", TokensUsage: "usage", TokensTokenize: "tokenize", TokensTokenizer: "tokenizer", TokensEvents: "events",
}

// String is the source as rows have it; "" is unknown.
func (t TokenSource) String() string { return tokenSourceNames[t] }

// ParseTokenSource reads what String prints.
func ParseTokenSource(name string) (TokenSource, error) {
	for t, n := range tokenSourceNames {
		if n == name {
			return TokenSource(t), nil
		}
	}
	return 0, fmt.Errorf("unknown token source %q", name)
}

// String is "user" or "kernel".
func (s Stamp) String() string {
	if s == StampKernel {
		return "kernel"
	}
	return "user"
}
