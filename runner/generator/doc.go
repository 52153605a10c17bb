// Package generator puts a load on a server from several processes, on this machine or on
// others. This process keeps the plan, the dataset, the rows and the rules; a worker is this
// program again (`sparkrun worker`), an engine of package load that has a share of the work.
//
// A Fleet is the workers of a run. Fleet.Run does what load.Run does, with the same
// configuration and the same outcome: it deals conversations out, says when each phase
// begins, puts the records of all workers on its own clock and hands them to the recorder.
//
// # The protocol
//
// A worker that its launcher gives standard streams (a process of this machine, ssh) speaks
// over them; one that has none to itself (mpirun, srun) connects back over TLS to where
// the variable SPARKRUN_WORKER says, and proves by the run's one-time token that it was
// started by it, as the certificate's digest in the same variable proves who answers.
//
// A worker first writes a line by which its stream is told from what a login shell may have
// printed before it. After it, both ways, come frames: four bytes of length (little-endian,
// of what follows), one of kind, and the message. None is longer than maxFrame. Messages are
// JSON except pings, pongs, conversations and records.
//
//	to a worker                         from a worker
//	                                    hello    who it is: version, token, rank, size
//	ping    number                      pong     number, its clock
//	job     a share of a load           ready    it could begin
//	deal    conversation, or the end    want     so many conversations more
//	start   phase, when on its clock    over     phase: nothing more to send
//	end     phase that is to end now    records  a block of them
//	stop    no more requests, or cut    live     counters for the screen
//	                                    done     its outcome
//
// Jobs follow each other on one connection; between "done" and the next "job" a worker has
// nothing to do. Its end is the end of its stream. A worker that breaks the protocol, closes
// its stream or says nothing for some seconds (each ping has a pong) is lost: it is killed
// where that can be done, its part of the load is given up, and the outcome says so.
//
// # Clocks
//
// Every time in a record is on the clock of the process that sent the request. The offset
// to ours is measured as NTP does: of many pings the one with the shortest way there and
// back is taken, and half of that way is the most that it can be wrong by. All records of a
// phase are moved by the offset that was the best when the phase began, so that differences
// of times within a worker stay exactly what they were.
//
// It imports neither the scenario language nor the wire client, which a worker is given.
package generator
