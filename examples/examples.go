// Package examples is the scenarios of this folder that `sparkrun init` writes. It imports
// nothing of ours.
package examples

import "embed"

// Files has them, by the names that they have here.
//
//go:embed quickstart.hcl openai.hcl gpt-oss-20b.hcl single-turn.hcl capacity.hcl topology.hcl ci.hcl
var Files embed.FS
