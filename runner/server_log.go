package runner

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

// logFile is a server's output as it is written, from its last start on.
type logFile struct {
	path  string
	start int64 // where the last start begins
	seen  int64 // how far grown has read
}

// begin notes where the output of a new start begins.
func (l *logFile) begin() {
	l.start = 0
	if info, err := os.Stat(l.path); err == nil {
		l.start = info.Size()
	}
	l.seen = l.start
}

// open opens the output of the last start. A log that is not there yet is empty.
func (l *logFile) open(from int64) (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// grown reports whether the server has said something new since the last call. What it
// logs about our own questions does not count: it would look alive for as long as it is
// asked.
func (l *logFile) grown() bool {
	r, err := l.open(l.seen)
	if err != nil {
		return false
	}
	defer r.Close()
	b, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	end := bytes.LastIndexByte(b, '\n') + 1
	l.seen += int64(end)
	for line := range bytes.Lines(b[:end]) {
		if len(bytes.TrimSpace(line)) > 0 && !bytes.Contains(line, []byte("/v1/")) {
			return true
		}
	}
	return false
}

// tailSize is how much of a server's last output its error shows.
const tailSize = 4 << 10

// tail is the last lines of the output, indented.
func (l *logFile) tail() string {
	from := l.start
	if info, err := os.Stat(l.path); err == nil {
		from = max(from, info.Size()-tailSize)
	}
	r, err := l.open(from)
	if err != nil {
		return "  (" + err.Error() + ")"
	}
	defer r.Close()
	b, _ := io.ReadAll(io.LimitReader(r, tailSize))
	return "  " + strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "\n  ")
}

// diagnose looks through the output of the last start for what went wrong.
func (l *logFile) diagnose() diagnosis {
	r, err := l.open(l.start)
	if err != nil {
		return diagnosis{}
	}
	defer r.Close()
	return diagnose(bufio.NewReaderSize(io.LimitReader(r, 64<<20), 64<<10))
}

// died says how a program ended: the first exception of its log where there is one, else
// its last output.
func (l *logFile) died() string {
	if d := l.diagnose(); d.line != "" {
		return d.String() + "; its last output:\n" + l.tail()
	}
	return "its last output:\n" + l.tail()
}

// last is the last line of the output, "" for none.
func (l *logFile) last() string {
	lines := strings.Split(l.tail(), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
