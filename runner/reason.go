package runner

import (
	"errors"
	"fmt"

	"sparkrun/targets"
)

// Reason is the documented code of why a run, server or cell failed.
type Reason string

// The reasons of this package's tasks. Reasons lists what each means.
const (
	PreflightPortTaken  Reason = "PREFLIGHT_PORT_TAKEN"
	PreflightMemory     Reason = "PREFLIGHT_MEMORY"
	PreflightDataset    Reason = "PREFLIGHT_DATASET"
	LaunchFailed        Reason = "LAUNCH_FAILED"
	LaunchImage         Reason = "LAUNCH_IMAGE"
	LaunchNameTaken     Reason = "LAUNCH_NAME_TAKEN"
	LaunchGenerator     Reason = "LAUNCH_GENERATOR"
	LaunchExited        Reason = "LAUNCH_EXITED"
	LaunchOutOfMemory   Reason = "LAUNCH_OUT_OF_MEMORY"
	ReadyUnreachable    Reason = "READY_UNREACHABLE"
	ReadyRefused        Reason = "READY_REFUSED"
	ReadyWrongModel     Reason = "READY_WRONG_MODEL"
	ReadyStalled        Reason = "READY_STALLED"
	ReadyTimeout        Reason = "READY_TIMEOUT"
	HostUnreachable     Reason = "HOST_UNREACHABLE"
	HostKey             Reason = "HOST_KEY"
	HostLogin           Reason = "HOST_LOGIN"
	HostDiskFull        Reason = "HOST_DISK_FULL"
	HostDocker          Reason = "HOST_DOCKER"
	HostMemoryLow       Reason = "HOST_MEMORY_LOW"
	MeasureServerDied   Reason = "MEASURE_SERVER_DIED"
	MeasureOutOfMemory  Reason = "MEASURE_OUT_OF_MEMORY"
	MeasureSource       Reason = "MEASURE_SOURCE"
	MeasureAborted      Reason = "MEASURE_ABORTED"
	MeasureWorkersLost  Reason = "MEASURE_WORKERS_LOST"
	MeasureNoOK         Reason = "MEASURE_NO_OK"
	MeasureRowsLost     Reason = "MEASURE_ROWS_LOST"
	TeardownStillThere  Reason = "TEARDOWN_STILL_THERE"
	TeardownPortAnswers Reason = "TEARDOWN_PORT_ANSWERS"
	TeardownMemory      Reason = "TEARDOWN_MEMORY"
)

// ReasonDoc is a line of `sparkrun help reasons`.
type ReasonDoc struct {
	Code     Reason
	Sentence string
}

// Reasons are all reason codes, in the order in which a run can meet them.
func Reasons() []ReasonDoc {
	return []ReasonDoc{
		{PreflightPortTaken, "The port that the server was told to use answers already; it would have been measured instead."},
		{PreflightMemory, "The node has less memory available than must be left for it to go on answering."},
		{PreflightDataset, "The dataset could not be opened or read."},
		{LaunchFailed, "The server's program could not be started."},
		{LaunchImage, "The server's image is not there and could not be pulled."},
		{LaunchNameTaken, "There is a container with the name that the server's would have, and it is not ours to remove."},
		{LaunchGenerator, "The workers of the generator could not be started, or did not all come. After two times in a row the remaining cells are skipped."},
		{LaunchExited, "The server's program ended before the server was ready."},
		{LaunchOutOfMemory, "The server's program ended before it was ready: it asked for more memory than there was, or the kernel killed it for want of memory."},
		{ReadyUnreachable, "Nothing answers at the server's url."},
		{ReadyRefused, "The server answers, but will not serve: wrong key, unknown model, or an error to a one-token request."},
		{ReadyWrongModel, "The server serves, and not the model that was asked for."},
		{ReadyStalled, "The server was not ready, and nothing of it changed for the time that stall allows."},
		{ReadyTimeout, "The server was not ready within its deadline."},
		{HostUnreachable, "The node did not answer over SSH: not there, off the network, or out of memory. Its remaining cells are skipped."},
		{HostKey, "The node's SSH host key is not in known_hosts, or is another than the one there."},
		{HostLogin, "The node refused the login over SSH, or its sshd allows no session."},
		{HostDiskFull, "The node has no space left on its disk."},
		{HostDocker, "The container engine (Docker or podman) did not answer."},
		{HostMemoryLow, "The node had nearly no memory left, so the server was stopped before the machine stopped answering."},
		{MeasureServerDied, "The server's program ended while it was being measured."},
		{MeasureOutOfMemory, "The kernel killed the server's program for want of memory while it was being measured; its log or its count of such kills says so."},
		{MeasureSource, "The dataset failed while requests were being made from it."},
		{MeasureAborted, "The cell's abort rule ended it: too many of the last requests failed."},
		{MeasureWorkersLost, "No worker of the generator was left, or one was lost in the midst of a search."},
		{MeasureNoOK, "No request of a measured phase succeeded."},
		{MeasureRowsLost, "The raw rows could not be written: disk full, or the folder is gone."},
		{TeardownStillThere, "A server's program is still there after it was killed."},
		{TeardownPortAnswers, "A stopped server's port is still listened on."},
		{TeardownMemory, "A stopped server's memory did not come back."},
	}
}

// Error is a failure with its reason code.
type Error struct {
	Reason Reason
	Err    error
}

// Error begins with the reason code.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Reason, e.Err) }

// Unwrap returns what went wrong.
func (e *Error) Unwrap() error { return e.Err }

func fail(r Reason, format string, args ...any) error {
	return &Error{r, fmt.Errorf(format, args...)}
}

// because is the reason of an error of a node, or otherwise where the node is not to blame.
func because(err error, otherwise Reason) Reason {
	for cause, reason := range map[error]Reason{
		targets.ErrUnreachable: HostUnreachable, targets.ErrHostKey: HostKey, targets.ErrLogin: HostLogin, targets.ErrDiskFull: HostDiskFull,
	} {
		if errors.Is(err, cause) {
			return reason
		}
	}
	return otherwise
}
