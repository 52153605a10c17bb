// Package docs holds what is made from the program for other programs: JSON schemas
// (draft 2020-12) of summary.json, of `plan --json` and of a line of `apply --json`.
// `go test ./cmd/docs -update` makes them anew from the Go types and their comments; a
// test fails where they are not what the types say, another where real output does not
// conform. Within "schema": 1 fields are only added.
package docs

import "embed"

// Schemas are summary.schema.json, plan.schema.json and event.schema.json.
//
//go:embed *.schema.json
var Schemas embed.FS
