// Package addr is what things in a scenario are called. It holds values only: a cell's
// address prints, parses and orders, and nothing here knows what a cell does. It imports
// the standard library alone and is imported by everybody.
package addr
