// Package selftest measures this machine as a client: how many streams it holds, how late
// it sends, and how far the times it reports are from the simulator's own, which runs in a
// second process. The result is kept for the machine; runs carry it, and cells beyond it
// say so. It gets its client and server from outside, and knows no file but its own.
package selftest
