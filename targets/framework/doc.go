// Package framework knows inference servers: which attributes each takes, how it is
// launched, when it is ready, what it says of itself, how its prefix cache is emptied and
// its hits are counted, how an answer of exact length is asked for, and how it counts
// tokens.
package framework
