package generator

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// protocol is the version of frames and messages. Both ends must have the same.
const protocol = 2

// greeting is the line that a worker's stream begins with. What comes before it is not ours.
const greeting = "\x00sparkrun-worker\n"

// Limits of what is read before anything is known of who wrote it, and after.
const (
	maxGarbage = 64 << 10 // before the greeting
	maxHello   = 64 << 10
	maxFrame   = 64 << 20 // a conversation of 16 million tokens
)

type kind byte

// The kinds of frames, in doc.go's order.
const (
	kindPing kind = 'a' + iota
	kindJob
	kindDeal
	kindStart
	kindEnd
	kindStop
	kindHello
	kindPong
	kindReady
	kindWant
	kindOver
	kindRecords
	kindLive
	kindDone
	kindLast // none
)

type frame struct {
	kind    kind
	payload []byte
}

// appendFrame adds a frame's bytes to b.
func appendFrame(b []byte, f frame) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.payload)+1))
	b = append(b, byte(f.kind))
	return append(b, f.payload...)
}

// readFrame reads the next frame, of at most limit bytes. The memory it takes grows with
// what really comes, whatever length is announced. io.EOF is an end between two frames.
func readFrame(r *bufio.Reader, limit uint32) (frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.LittleEndian.Uint32(head[:4])
	k := kind(head[4])
	if n == 0 || n > limit || k < kindPing || k >= kindLast {
		return frame{}, fmt.Errorf("what came is not the protocol: a frame of %d bytes (of at most %d) and kind %d", n, limit, k)
	}
	var payload bytes.Buffer
	if _, err := io.CopyN(&payload, r, int64(n-1)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	return frame{k, payload.Bytes()}, nil
}

// greet reads up to the greeting and returns what came before it.
func greet(r *bufio.Reader) (garbage []byte, err error) {
	for !bytes.HasSuffix(garbage, []byte(greeting)) {
		if len(garbage) == maxGarbage {
			return garbage, errors.New("it writes, and not the protocol")
		}
		c, err := r.ReadByte()
		if err != nil {
			return garbage, err
		}
		garbage = append(garbage, c)
	}
	return garbage[:len(garbage)-len(greeting)], nil
}
