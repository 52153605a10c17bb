// Package scenario reads the scenario language and makes a plan of it. It is the only
// package that knows HCL and cty; everything behind the plan is plain data. Every mistake
// is a diagnostic with file, line and what to write instead; all of a scenario's are
// found at once as far as one does not follow from another.
package scenario
