// Package node implements targets.Node: this machine, and machines that are reached over
// SSH.
//
// A program runs in a session of its own, so that a Ctrl-C or hang-up meant for us does not
// reach it, and carries its mark in its environment, so that a stop reaches all of what it
// started, also what has left its group, and a later run finds what a dead one left.
//
// On an SSH node nothing of ours is installed: the scripts of remote/ are given to sh over
// the connection, since a laptop's binary would not run on a Spark. They start a program so
// that it goes on when the connection breaks, and ends by itself when we are gone.
//
// It is the only package that may import goph.
package node
