// Package bench measures the client against others and against itself: `make bench` prints
// the ratios. testdata has a server and a reader in C and a client in Python; the Go
// clients are in the tests, which start themselves again as those. Nothing here is a part
// of the program.
package bench
