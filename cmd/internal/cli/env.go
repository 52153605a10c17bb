package cli

import (
	"io"
	"os"
	"time"

	"sparkrun/runner/journal"
)

// Env is the process as the commands see it: nothing else in this program reads
// arguments, environment, signals or the standard streams, so that a test can run the
// whole command line in its own process.
type Env struct {
	Args    []string // without the program's name
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Lookup  func(name string) (string, bool) // the environment
	Signals <-chan os.Signal                 // interrupts, in the order they came
	Now     func() time.Time
	Self    string    // path of this program, which starts the simulator
	Exit    func(int) // leave at once, without clean-up
	// OnJournal is called around every line that a run writes down; tests end the process
	// there. May be nil.
	OnJournal func(l journal.Line, written bool)
	// StdoutTerminal and StderrTerminal are the width of the terminal there, 0 for none.
	StdoutTerminal func() int
	StderrTerminal func() int
}

// color reports whether to use colour on a stream that is a terminal of the given width.
// NO_COLOR (https://no-color.org) and a dumb terminal say no.
func (e *Env) color(width int) bool {
	no, _ := e.Lookup("NO_COLOR")
	term, _ := e.Lookup("TERM")
	return width > 0 && no == "" && term != "dumb"
}
