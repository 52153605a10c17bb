// Package runner executes a plan: it walks the tasks, starts and stops servers, runs the
// cells' load, keeps the journal and hands results to the sinks. What nodes, frameworks,
// datasets and wire clients are, it is told through Tools. It never imports hcl, cty,
// excelize or goph: a plan is all that it knows of a scenario.
//
// # Servers
//
// The life of a server that a scenario starts, and what each step proves:
//
//	checked   nobody listens on its port, the node has memory to spare
//	created   the journal says that it will be there, then it is started: a process in a
//	          session of its own or a container, either with the mark of the run
//	ready     its port, then the right model, then one generated token; against a deadline,
//	          and against a time without progress
//	measured  watched: its end fails the cell, which keeps its rows, and it is started again
//	          for the next cell; after two deaths in a row the rest of its cells fail
//	stopped   no process or container with its mark, its port closed, its memory back
//	kept      left running on purpose; a later run with the same server block uses it
//
// What a run that died has left is known from its mark and its journal, whose lock says
// that it died; the next run removes it, and so does down.
//
// # What a number belongs to
//
// A server that is ready is asked what it is (Fingerprint): image digest, engine version,
// the command line that runs, files of program and model, GPU, driver, kernel. A finished
// cell is taken again by a resumed run only if its digest, which the plan has, and this are
// the same. Before a cell its server's prefix cache is brought into the state that the
// cell declares, and afterwards the engine's hit counters are asked whether it was.
//
// # Stopping
//
// A run has three contexts. The soft one ends with the first interrupt: nothing new
// starts, a running cell sends nothing more and drains. The hard one ends with the
// second, or when the drain after the first is over: requests are cut. Clean-up and
// sinks run on the third, which neither ends; it is bounded in time, and shortly so
// after the second interrupt.
package runner
