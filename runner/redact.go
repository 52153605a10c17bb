package runner

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"sparkrun/scenario/schema"
)

// Redactor is a writer that replaces secrets. It holds a line back until it is whole, so
// that a secret cut by two writes is found.
type Redactor struct {
	w       io.Writer
	secrets []string
	line    []byte
}

// Redact returns a Redactor that writes to w.
func Redact(w io.Writer, secrets []string) *Redactor {
	return &Redactor{w: w, secrets: secrets}
}

// Write writes the whole lines there are.
func (r *Redactor) Write(b []byte) (int, error) {
	r.line = append(r.line, b...)
	end := bytes.LastIndexByte(r.line, '\n') + 1
	err := r.write(r.line[:end])
	r.line = append(r.line[:0], r.line[end:]...)
	return len(b), err
}

// Flush writes a last line that has no end.
func (r *Redactor) Flush() error {
	err := r.write(r.line)
	r.line = r.line[:0]
	return err
}

func (r *Redactor) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	for _, s := range r.secrets {
		if s != "" {
			b = bytes.ReplaceAll(b, []byte(s), []byte(schema.Redacted))
		}
	}
	_, err := r.w.Write(b)
	return err
}

// Redacted is a text with its secrets replaced: one that a server may have had a hand in,
// which may repeat what it was sent.
func Redacted(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, schema.Redacted)
		}
	}
	return text
}

// redacted is an error with its secrets replaced; its reason stays.
func redacted(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	plain := Redacted(err.Error(), secrets)
	if plain == err.Error() {
		return err
	}
	if known := (*Error)(nil); errors.As(err, &known) {
		return &Error{known.Reason, errors.New(strings.TrimPrefix(plain, string(known.Reason)+": "))}
	}
	return errors.New(plain)
}
