// Package node implements targets.Node: this machine, with its processes in groups of
// their own so that a Ctrl-C meant for us does not reach them and a stop reaches all of
// their children.
package node
