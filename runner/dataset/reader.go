package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// maxRecord is the longest conversation of a file in bytes.
const maxRecord = 64 << 20

// errInvalid is what is wrong with a conversation, not with its JSON: skip_invalid leaves
// such ones out.
type errInvalid struct{ error }

func invalid(err error) error { return errInvalid{err} }

// shape is how the records of a file follow each other.
type shape int

const (
	lines  shape = iota // a record a line
	list                // a JSON list of objects
	either              // a list where the file begins with [, else lines
)

// format is how a file of conversations is read.
type format struct {
	shape shape
	// script makes a conversation of a record that begins in a line.
	script func(raw []byte, line int64) (*script, error)
}

// reader reads a file record by record, with no more than one in memory.
type reader struct {
	path   string
	format format
	skip   bool // leave out invalid ones

	in     *bufio.Reader
	close  func() error
	isList bool
	begun  bool
	line   int64 // that comes next, from 1
	record int64 // that comes next, from 0
	buf    []byte

	skipped int64
	why     string // the first that was left out
}

// newReader opens a file, unpacking gzip and zstd.
func newReader(path string, open Opener, f format, skipInvalid bool) (*reader, error) {
	r := &reader{path: path, format: f, skip: skipInvalid, line: 1}
	var err error
	if r.in, r.close, err = unpack(path, open); err != nil {
		return nil, err
	}
	if bom, _ := r.in.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		_, _ = r.in.Discard(3)
	}
	return r, nil
}

// unpack opens a file; gzip and zstd are known by their first bytes.
func unpack(path string, open Opener) (*bufio.Reader, func() error, error) {
	f, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(f, 256<<10)
	magic, err := in.Peek(4)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		f.Close()
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952
		z, err := gzip.NewReader(in)
		if err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("%s: %w", path, unpackError("gzip", err))
		}
		return bufio.NewReaderSize(&packed{"gzip", z}, 256<<10), f.Close, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("%s: %w", path, unpackError("zstd", err))
		}
		return bufio.NewReaderSize(&packed{"zstd", z}, 256<<10), func() error { z.Close(); return f.Close() }, nil
	}
	return in, f.Close, nil
}

// packed says what went wrong with unpacking.
type packed struct {
	what string
	io.Reader
}

func (p *packed) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = unpackError(p.what, err)
	}
	return n, err
}

func unpackError(what string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the %s data ends early: the file is truncated, get it again", what)
	}
	return fmt.Errorf("the %s data is broken: %w", what, err)
}

// next is the next conversation, or io.EOF. Other errors name the file and the place.
func (r *reader) next() (*script, error) {
	for {
		s, err := r.one()
		if err == io.EOF {
			return nil, io.EOF
		}
		var bad errInvalid
		if errors.As(err, &bad) && r.skip {
			if r.skipped++; r.why == "" {
				r.why = err.Error()
			}
			continue
		}
		if err != nil {
			if errors.As(err, &bad) {
				return nil, fmt.Errorf("%s: %w; set skip_invalid = true to leave out such conversations", r.path, err)
			}
			return nil, fmt.Errorf("%s: %w", r.path, err)
		}
		return s, nil
	}
}

func (r *reader) one() (*script, error) {
	if !r.begun {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	raw, line, err := r.raw()
	if err != nil {
		return nil, err
	}
	number := r.record
	r.record++
	if !utf8.Valid(raw) {
		return nil, notUTF8(raw, line)
	}
	s, err := r.format.script(raw, line)
	if err != nil {
		var bad errInvalid
		if errors.As(err, &bad) {
			return nil, invalid(fmt.Errorf("%s: %w", r.place(number, line), bad.error))
		}
		return nil, err
	}
	s.row = number
	return s, nil
}

// place names a record.
func (r *reader) place(number, line int64) string {
	if r.isList {
		return fmt.Sprintf("conversation %d (line %d)", number, line)
	}
	return fmt.Sprintf("line %d", line)
}

// begin finds out whether the file is a list.
func (r *reader) begin() error {
	r.begun = true
	if r.format.shape == lines {
		return nil
	}
	c, err := r.space()
	switch {
	case err == io.EOF:
		return errors.New("the file is empty")
	case err != nil:
		return err
	case c == '[':
		_, _ = r.in.Discard(1)
		r.isList = true
	case r.format.shape == list:
		return fmt.Errorf("line %d: the file begins with %q: a JSON list is expected", r.line, c)
	}
	return nil
}

// raw is the next record as it is in the file, and the line in which it begins.
func (r *reader) raw() (raw []byte, line int64, err error) {
	if r.isList {
		return r.element()
	}
	for {
		raw, err = r.readLine()
		if len(bytes.TrimSpace(raw)) > 0 {
			return raw, r.line - 1, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// readLine is a line without its end; err is io.EOF at the last.
func (r *reader) readLine() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		switch {
		case len(r.buf) > maxRecord:
			return nil, fmt.Errorf("line %d is longer than %d MB", r.line, maxRecord>>20)
		case err == nil:
			r.line++
			return r.buf[:len(r.buf)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF:
			r.line++
			return r.buf, io.EOF
		default:
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
	}
}

// element is the next object of a list.
func (r *reader) element() (raw []byte, line int64, err error) {
	c, err := r.space()
	if err == nil && c == ',' && r.record > 0 {
		_, _ = r.in.Discard(1)
		if c, err = r.space(); err == nil && c == ']' {
			return nil, 0, fmt.Errorf("line %d: the list ends after a comma", r.line)
		}
	} else if err == nil && c != ']' && r.record > 0 {
		return nil, 0, fmt.Errorf("line %d: after conversation %d there is %q: a comma or the list's end is expected", r.line, r.record-1, c)
	}
	switch {
	case err == io.EOF:
		return nil, 0, fmt.Errorf("line %d: the file ends inside its list, after %d conversations: it is truncated", r.line, r.record)
	case err != nil:
		return nil, 0, err
	case c == ']':
		_, _ = r.in.Discard(1)
		if c, err = r.space(); err == nil {
			return nil, 0, fmt.Errorf("line %d: after the list's end there is %q", r.line, c)
		}
		return nil, 0, err
	case c != '{':
		return nil, 0, fmt.Errorf("line %d: conversation %d begins with %q: an object is expected", r.line, r.record, c)
	}
	line = r.line
	raw, err = r.object()
	return raw, line, err
}

// object reads up to the brace that closes the one which comes next.
func (r *reader) object() ([]byte, error) {
	begin := r.line
	r.buf = r.buf[:0]
	depth, quoted, escaped := 0, false, false
	for {
		chunk, err := r.peek()
		if err == io.EOF {
			return nil, fmt.Errorf("line %d: the file ends inside conversation %d, which begins in line %d: it is truncated, or a quote or brace is missing", r.line, r.record, begin)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line, err)
		}
		end := 0
		for i := 0; i < len(chunk) && end == 0; i++ {
			if quoted && !escaped { // most of a file is text: look for its end in one go
				next := bytes.IndexAny(chunk[i:], "\"\\")
				if next < 0 {
					break
				}
				i += next
			}
			switch c := chunk[i]; {
			case escaped:
				escaped = false
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth == 0 {
					end = i + 1
				}
			}
		}
		if end > 0 {
			chunk = chunk[:end]
		}
		r.line += int64(bytes.Count(chunk, []byte("\n")))
		r.buf = append(r.buf, chunk...)
		_, _ = r.in.Discard(len(chunk))
		if end > 0 {
			return r.buf, nil
		}
		if len(r.buf) > maxRecord {
			return nil, fmt.Errorf("line %d: conversation %d is longer than %d MB: is a quote missing?", begin, r.record, maxRecord>>20)
		}
	}
}

// peek is what is buffered, at least a byte.
func (r *reader) peek() ([]byte, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err
	}
	return r.in.Peek(r.in.Buffered())
}

// space skips white space and returns the byte behind it, which is still to be read.
func (r *reader) space() (byte, error) {
	for {
		b, err := r.in.Peek(1)
		switch {
		case err == io.EOF:
			return 0, io.EOF
		case err != nil:
			return 0, fmt.Errorf("line %d: %w", r.line, err)
		case b[0] == '\n':
			r.line++
		case b[0] != ' ' && b[0] != '\t' && b[0] != '\r':
			return b[0], nil
		}
		_, _ = r.in.Discard(1)
	}
}
