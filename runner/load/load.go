package load

import (
	"context"
	"sync/atomic"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// Source is what is sent: conversation i, the same for the same i. A single-turn dataset
// is conversations of one turn.
type Source interface {
	// Open returns conversation i, or ErrExhausted from the first index that the dataset
	// does not have.
	Open(i int64) (Conversation, error)
}

// Timed is a Source that knows when its conversations arrive: a recorded trace. A phase
// that replays it sends them then.
type Timed interface {
	Source
	// Arrival is when conversation i arrives, measured from the beginning of the trace;
	// false from the first index that it does not have. Later ones don't arrive earlier.
	// It may be called while Open is.
	Arrival(i int64) (at time.Duration, ok bool)
}

// Conversation is a dialogue being played.
type Conversation interface {
	// Next fills r with the next user turn (identity, body, asked lengths), given what
	// came of the one before: nil at first, and for a turn that was not sent, whose answer
	// is then the dataset's. It returns false when the dialogue is over.
	Next(prev *record.Record, r *record.Request) (ok bool, err error)
	// Turns is how many user turns the dialogue has.
	Turns() int
}

// Doer sends a request, not before r.Scheduled, and fills rec. What goes wrong is data, so
// there is no error. It is called from many goroutines at once.
type Doer interface {
	Do(ctx context.Context, r *record.Request, rec *record.Record)
}

// Recorder takes finished records, from one goroutine. The record is its own to keep.
type Recorder interface {
	Record(rec *record.Record)
}

// Pacer says when the next request of an open loop leaves. It is pure: the same calls
// give the same arrivals.
type Pacer interface {
	// Next returns the time of arrival number sent (from 0), measured from the start of
	// the phase; ok is false when there is none.
	Next(elapsed time.Duration, sent int64) (at time.Duration, ok bool)
}

// Lead is enough for what delays the engine, a garbage collection for instance: the Doer
// has the request by the time it is to leave.
const Lead = 20 * time.Millisecond

// Config is one cell's load.
type Config struct {
	Phases        []plan.Phase
	Conversations plan.Conversations
	Request       plan.Request
	KeepAnswers   bool // also where no later turn needs them
	Abort         *plan.Abort
	Seed          uint64
	Source        Source
	First         int64 // conversation of the source to begin with
	Share         Share // of what several engines do together
	Gate          *Gate // where they meet; nil: there is one
	Doer          Doer
	Recorder      Recorder
	Clock         record.Clock
	Lead          time.Duration   // how long before its time a request is given to the Doer; 0: at its time
	Live          *Live           // may be nil
	Stop          <-chan struct{} // closed: send nothing more, drain, return
	IDPrefix      string          // request ids are IDPrefix + number
	OnPhase       func(index int) // called when a phase begins; may be nil
}

// Live are numbers for people, written by the engine and read a few times a second.
type Live struct {
	Phase    atomic.Int32
	InFlight atomic.Int64
	Sent     atomic.Int64
	OK       atomic.Int64
	Failed   atomic.Int64
	Tokens   atomic.Int64
	TTFTSum  atomic.Int64 // ns over OK requests
}

// Outcome is what the engine knows beyond the records.
type Outcome struct {
	Phases      []PhaseOutcome
	Next        int64  // conversation of the source that would have come next
	Exhausted   bool   // the dataset ended before the stop rules did
	Aborted     string // why the cell's abort rule fired, "" if it did not
	Interrupted bool   // Stop or the context ended it
	// Tried are the rungs that a search has measured, in their order; Phases are then those
	// of all of them.
	Tried []int `json:",omitempty"`
	// Cache is what was done about the server's prefix cache, nil where nobody asked.
	Cache *Cache `json:",omitempty"`
	// Counted is what the server's own counters say of the cell, nil where it shows none.
	Counted *Counted `json:",omitempty"`
	// Workers are the processes that made the load together, none where it was this one.
	Workers []Worker `json:",omitempty"`
}

// Cache is what was done about the server's prefix cache before a cell, and what the
// engine's hit counters say of it.
type Cache struct {
	Method string // "reset", "salt", "restart", "off", "primed" or "none"
	// HitShare is the share of the tokens of conversations' first prompts that came from
	// the cache (of a cold one: beyond what those prompts have in common); nil: not known.
	HitShare *float64
	// Check is what told the share, or "not verified: " and why nothing did; "" where nothing
	// is declared.
	Check string `json:",omitempty"`
	Why   string // in what way that contradicts what was declared; "" if it does not
}

// Counted is what a server's own counters say of a cell.
type Counted struct {
	// In what way that contradicts what was sent and came; "" if it does not. Restarted: the
	// server was started anew; Foreign: it served others too; Mismatch: its tokens are not ours.
	Restarted, Foreign, Mismatch string `json:",omitempty"`
}

// Worker is a process that made a share of a load.
type Worker struct {
	Rank        int
	Host        string
	Pid         int
	Offset      int64  // ns that its clock was behind the run's
	OffsetError int64  // ns that this may be wrong by
	Requests    int64  // of which there are records
	Lost        string `json:",omitempty"` // why nothing more came of it, "" if it stayed to the end
	LostAt      int64  `json:",omitempty"` // record.Clock
}

// PhaseOutcome is when a phase really ran. The window is [Start, End): End is the end of
// its duration, or the moment there was nothing left to send.
type PhaseOutcome struct {
	Name       string
	Measure    bool
	Start, End int64 // record.Clock
	Scheduled  int64 // requests the load model wanted
	Unstable   bool  `json:",omitempty"` // a limit ended it before its requests were stable
	Late       int64 `json:",omitempty"` // ns after Start at which the last of several engines began it
	// Observed is what nodes and the server said of themselves from Start to End, by the names
	// of metric.Telemetry; Throttled in which way a GPU was slowed down, "" if none was.
	Observed  map[string]float64 `json:",omitempty"`
	Throttled string             `json:",omitempty"`
}
