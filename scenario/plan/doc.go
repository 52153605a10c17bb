// Package plan is what a scenario comes to: which cells run, in which order, on what,
// with every number resolved. It is pure data that prints as text, JSON and DOT; secrets
// in it show as "(sensitive)". It imports nothing but the standard library and its
// sibling leaves.
package plan
