// Package cli is the command line: a file per command, each parses its flags, makes a
// request of the layers below, picks a view, and returns the exit code. It may import
// everything of ours; nothing imports it but main.
package cli
