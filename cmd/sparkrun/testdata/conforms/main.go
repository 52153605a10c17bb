// Command conforms SCHEMA FILE checks a JSON file, or each line of a .jsonl, by a schema of
// cmd/docs. It is a program of its own because the library that it needs takes 50 ms to begin
// under -race, which each of the programs in the tests' binary would pay.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sparkrun/cmd/docs"
)

func main() {
	if err := check(os.Args[1]+".schema.json", os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(file, path string) error {
	b, err := docs.Schemas.ReadFile(file)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, doc); err != nil {
		return err
	}
	schema, err := c.Compile(file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	objects := []string{string(text)}
	if strings.HasSuffix(path, ".jsonl") {
		objects = strings.Split(strings.TrimSpace(objects[0]), "\n")
	}
	for i, object := range objects {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(object))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			return fmt.Errorf("%s, object %d: %w", path, i+1, err)
		}
	}
	return nil
}
