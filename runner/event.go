package runner

import "time"

// EventType names what happened; it is the "type" of a line of `apply --json`.
type EventType string

// The event types. Task events carry the task's id in Address, and those of a
// cell its address, as all its events do.
const (
	EventRunStarted   EventType = "run_started" // Data: *Started
	EventTaskStarted  EventType = "task_started"
	EventTaskEnded    EventType = "task_ended"    // Message: how, Outcome, Seconds
	EventPhaseStarted EventType = "phase_started" // Address: the cell, Phase; Message: the value that a search tries
	EventProgress     EventType = "progress"      // Address: the cell, Phase, Progress; lossy
	EventCellEnded    EventType = "cell_ended"    // Data: []result.Entry
	EventLog          EventType = "log"           // Level, Message
	EventServerKept   EventType = "server_kept"   // Address: the server, Message: where it is and how to stop it
	EventInterrupt    EventType = "interrupt"     // Message: what the signal does
	EventRunEnded     EventType = "run_ended"     // Data: *Ended
)

// Event is one thing that happened in a run. Observers get them in order, one at a time.
type Event struct {
	Seq      int64     `json:"seq"`
	Time     time.Time `json:"time"`
	Type     EventType `json:"type"`
	Run      string    `json:"run"`
	Address  string    `json:"address,omitempty"`
	Kind     string    `json:"kind,omitempty"` // of the task: plan.TaskKind
	Phase    string    `json:"phase,omitempty"`
	Level    string    `json:"level,omitempty"`
	Outcome  Outcome   `json:"outcome,omitempty"`
	Seconds  float64   `json:"seconds,omitempty"`
	Message  string    `json:"message,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Data     any       `json:"data,omitempty"`
}

// Outcome is how a task ended.
type Outcome string

// The outcomes of a task.
const (
	Succeeded   Outcome = "succeeded"
	Failed      Outcome = "failed"
	Skipped     Outcome = "skipped"
	Interrupted Outcome = "interrupted"
)

// Progress is a cell's live state, a few times a second.
type Progress struct {
	Cell           int     `json:"cell"`  // its number in the plan's order, from 1
	Cells          int     `json:"cells"` // of so many
	ElapsedSeconds float64 `json:"elapsed_s"`
	// Fraction of the phase that is done, -1 where nothing bounds it.
	Fraction         float64 `json:"fraction"`
	InFlight         int64   `json:"in_flight"`
	Sent             int64   `json:"sent"`
	OK               int64   `json:"ok"`
	Failed           int64   `json:"failed"`
	OutputTokensPerS float64 `json:"output_tokens_per_s"` // over the last second
	TTFTMeanMS       float64 `json:"ttft_mean_ms"`        // of the ok requests so far, 0 for none
	RemainingSeconds float64 `json:"remaining_s"`         // of the whole run, -1 unknown
}

// Started is the Data of run_started.
type Started struct {
	Dir   string   `json:"dir"`
	Cells []string `json:"cells"` // addresses, in the order they run
}

// Ended is the Data of run_ended.
type Ended struct {
	ExitCode int      `json:"exit_code"`
	Reasons  []string `json:"reasons"` // every reason for a code other than 0
	Files    []string `json:"files"`
	Resume   string   `json:"resume,omitempty"` // the command that goes on
}
