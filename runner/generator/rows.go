package generator

import (
	"time"

	"sparkrun/runner/record"
)

// A block of records goes out when it is large or its first one waits for so long.
const (
	blockBytes = 64 << 10
	blockAge   = 50 * time.Millisecond
)

// queued is how many records may wait for a slow network before the engine does.
const queued = 4096

// rows sends a job's records. Record hands over, a goroutine encodes and sends, so that the
// engine does not wait for the network until the queue is full.
type rows struct {
	records chan record.Record
	done    chan struct{}
}

func newRows(c *conn) *rows {
	r := &rows{make(chan record.Record, queued), make(chan struct{})}
	go r.write(c)
	return r
}

// Record adds a record.
func (r *rows) Record(rec *record.Record) { r.records <- *rec }

// close sends what is left.
func (r *rows) close() {
	close(r.records)
	<-r.done
}

// write is the goroutine behind Record. What can't be sent is dropped: the run has gone, or
// will say that this worker has.
func (r *rows) write(c *conn) {
	defer close(r.done)
	var block []byte
	flush := func() {
		if len(block) > 0 {
			_ = c.send(frame{kindRecords, block})
			block = block[:0]
		}
	}
	tick := time.NewTicker(blockAge)
	defer tick.Stop()
	for {
		select {
		case rec, open := <-r.records:
			if !open {
				flush()
				return
			}
			if block = rec.Append(block); len(block) >= blockBytes {
				flush()
			}
		case <-tick.C:
			flush()
		}
	}
}
