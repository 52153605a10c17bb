// Command sparkrun runs LLM-inference benchmarks that are written down in HCL.
package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"sparkrun/cmd/internal/cli"
	"sparkrun/runner/journal"
)

func main() { os.Exit(run(nil)) }

// run is main with an exit code, for the tests that run it in their own binary.
// onJournal may be nil.
func run(onJournal func(l journal.Line, written bool)) int {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return cli.Run(&cli.Env{
		Args:           os.Args[1:],
		Stdin:          os.Stdin,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
		Lookup:         os.LookupEnv,
		Signals:        signals,
		Now:            time.Now,
		Self:           self,
		Exit:           os.Exit,
		OnJournal:      onJournal,
		StdoutTerminal: func() int { return width(os.Stdout) },
		StderrTerminal: func() int { return width(os.Stderr) },
	})
}

// width is the width of the terminal that f is, 0 if it is none.
func width(f *os.File) int {
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return w
}
