package wire

import (
	"context"
	"os"
	"time"

	"sparkrun/runner/record"
)

// exchange is a request under way on a connection, and the answer to it.
type exchange struct {
	head, body []byte // of the request
	at         int64  // clock time before which it does not leave
	unsent     error  // why a part of the request could not be sent; the sender's, as head and body are
	idle       int64  // ns that may pass without a byte, 0: any
	deadline   int64  // clock time of the request's end, 0: none
	sent       int64
	floor      int64 // nothing was left to read at this time
	heard      int64 // clock time of the last bytes
	user       bool  // an arrival was stamped by this program
	hurried    bool  // [DONE] has come: deadline is that of the answer's end
	answer     answer
	err        error // why it ended, where the answer itself does not say
}

// link is a connection to the server, in one of the two ways to read one: by a loop for
// all of them (looped), or by a goroutine for each (plain).
type link interface {
	// exchange sends x's request when its time has come, and returns when its answer has
	// ended.
	exchange(ctx context.Context, x *exchange)
	// open reports whether an idle connection can take another request: nothing has come
	// on it, neither bytes nor its end.
	open() bool
	// gone is what is known of that without asking.
	gone() bool
	close()
}

// doneGrace is how long the end of an answer may take after [DONE].
const doneGrace = time.Second

// take feeds bytes to the answer and reports whether it has ended.
func (x *exchange) take(b []byte, at int64, kernel bool, now int64) (ended bool) {
	x.heard, x.user = now, x.user || !kernel
	ended = x.answer.feed(b, at)
	if x.answer.stream.done && !x.hurried {
		x.hurried, x.deadline, x.idle = true, now+int64(doneGrace), 0
	}
	return ended
}

// due is the clock time at which the exchange ends if nothing comes, 0 for never.
func (x *exchange) due() int64 {
	at := x.deadline
	if x.idle > 0 && (at == 0 || x.heard+x.idle < at) {
		at = x.heard + x.idle
	}
	return at
}

// stop ends the exchange with its connection.
func (x *exchange) stop(err error) {
	x.err = err
	x.answer.stop(err)
}

// expire ends the exchange at a deadline.
func (x *exchange) expire(now int64) {
	err := os.ErrDeadlineExceeded
	if !x.hurried && x.deadline != 0 && now >= x.deadline {
		err = errTimeout
	}
	x.stop(err)
}

// stamp says who stamped the arrivals of the answer.
func (x *exchange) stamp() record.Stamp {
	if x.answer.began && !x.user {
		return record.StampKernel
	}
	return record.StampUser
}
