// Package node implements targets.Node: this machine. A program runs in a session of its
// own, so that a Ctrl-C or hang-up meant for us does not reach it, and carries its mark in
// its environment, so that a stop reaches all of what it started, also what has left its
// group, and a later run finds what a dead one left.
package node
