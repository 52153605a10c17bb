// Package view shows a run while it goes on: a line an event for logs, a live line on a
// terminal, or events as JSON for programs.
package view
