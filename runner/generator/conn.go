package generator

import (
	"bufio"
	"io"
	"sync"
)

// conn is one end of a worker's stream. Frames may be sent from several goroutines; one
// reads.
type conn struct {
	io.ReadWriteCloser
	in *bufio.Reader

	mu  sync.Mutex
	out []byte
}

func newConn(rw io.ReadWriteCloser) *conn {
	return &conn{ReadWriteCloser: rw, in: bufio.NewReaderSize(rw, 64<<10)}
}

// send writes a frame in one piece.
func (c *conn) send(f frame) error { return c.stamped(func() frame { return f }) }

// stamped writes the frame that make makes once it is its turn: one with the time in it.
func (c *conn) stamped(make func() frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendFrame(c.out[:0], make())
	_, err := c.Write(c.out)
	if cap(c.out) > 1<<20 { // of a long conversation
		c.out = nil
	}
	return err
}

// streams are two files, or pipes, as one stream.
type streams struct {
	io.ReadCloser
	io.WriteCloser
}

func (s streams) Close() error {
	err := s.WriteCloser.Close()
	if e := s.ReadCloser.Close(); err == nil {
		err = e
	}
	return err
}
