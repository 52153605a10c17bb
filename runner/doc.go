// Package runner executes a plan: it walks the tasks, starts and stops servers, runs the
// cells' load, keeps the journal and hands results to the sinks. What nodes, frameworks,
// datasets and wire clients are, it is told through Tools. It never imports hcl, cty,
// excelize or goph: a plan is all that it knows of a scenario.
//
// # Stopping
//
// A run has three contexts. The soft one ends with the first interrupt: nothing new
// starts, a running cell sends nothing more and drains. The hard one ends with the
// second, or when the drain after the first is over: requests are cut. Clean-up and
// sinks run on the third, which neither ends; it is bounded in time, and shortly so
// after the second interrupt.
package runner
