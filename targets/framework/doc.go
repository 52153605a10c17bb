// Package framework knows inference servers: which attributes each takes, how it is
// launched, when it is ready, how an answer of exact length is asked for, and how it
// counts tokens.
package framework
