package wire

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sparkrun/runner/record"
)

// socket reads a TCP socket with the kernel's receive stamps (SO_TIMESTAMPNS).
type socket struct {
	raw syscall.RawConn

	// Of the read under way: the closure below is made once, so that a read allocates nothing.
	buf    []byte
	n      int
	at     int64
	before int64 // clock time before the recvmsg that brought the bytes
	err    error
	oob    [64]byte
	clock  record.Clock
	recv   func(fd uintptr) bool
}

// newSocket returns nil for a connection that has no socket or no stamps.
func newSocket(c net.Conn) *socket {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	var opt error
	if err := raw.Control(func(fd uintptr) {
		opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}); err != nil || opt != nil {
		return nil
	}
	s.recv = func(fd uintptr) bool {
		var oobn int
		s.before = s.clock.Now()
		for {
			s.n, oobn, _, _, s.err = unix.Recvmsg(int(fd), s.buf, s.oob[:], 0)
			if s.err != unix.EINTR {
				break
			}
		}
		s.at = stamp(s.oob[:max(0, oobn)])
		return s.err != unix.EAGAIN
	}
	return s
}

// read returns the bytes, the wall time in ns at which the last of them came (0 where the
// kernel has not said), and a clock time at which what came later was not there yet.
func (s *socket) read(b []byte, clock record.Clock) (n int, at, before int64, err error) {
	if len(b) == 0 {
		return 0, 0, 0, nil
	}
	s.buf, s.clock = b, clock
	err = s.raw.Read(s.recv)
	s.buf = nil
	switch {
	case err != nil:
		return 0, 0, 0, err
	case s.err != nil:
		return 0, 0, 0, os.NewSyscallError("recvmsg", s.err)
	case s.n == 0:
		return 0, 0, 0, io.EOF
	}
	return s.n, s.at, s.before, nil
}

// stamp finds the SCM_TIMESTAMPNS among control messages: a cmsghdr (length, level,
// type) and a timespec.
func stamp(oob []byte) int64 {
	for len(oob) >= unix.SizeofCmsghdr {
		length := int(binary.NativeEndian.Uint64(oob))
		level, kind := binary.NativeEndian.Uint32(oob[8:]), binary.NativeEndian.Uint32(oob[12:])
		if length < unix.SizeofCmsghdr || length > len(oob) {
			return 0
		}
		if level == unix.SOL_SOCKET && kind == unix.SCM_TIMESTAMPNS && length >= unix.SizeofCmsghdr+16 {
			return int64(binary.NativeEndian.Uint64(oob[16:]))*1e9 + int64(binary.NativeEndian.Uint64(oob[24:]))
		}
		oob = oob[min(len(oob), (length+7)&^7):]
	}
	return 0
}

// quiet reports whether nothing, not even the end, is there to be read.
func (s *socket) quiet() bool {
	is := false
	err := s.raw.Control(func(fd uintptr) { is = quiet(int(fd)) })
	return err == nil && is
}

func quiet(fd int) bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == unix.EAGAIN
}
