package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mitchellh/go-wordwrap"
	"github.com/zclconf/go-cty/cty"

	"sparkrun/runner/dataset"
	"sparkrun/targets/framework"
)

// fill writes a server that is running into a scenario: in place of its one server, with
// datasets, users and answers that it can take.
func (f found) fill(src []byte) ([]byte, error) {
	file, diags := hclwrite.ParseConfig(src, "", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	body := file.Body()
	kept, left, err := f.fit(body)
	if err != nil {
		return nil, err
	}
	for _, b := range body.Blocks() {
		switch in := b.Body(); b.Type() {
		case "server":
			f.server(in, left)
		case "variable":
			switch b.Labels()[0] {
			case "url", "model", "api_key": // the server's block has them
				body.RemoveBlock(b)
			case "concurrency":
				in.SetAttributeValue("default", f.users())
			}
		case "benchmark":
			in.SetAttributeValue("api", cty.StringVal(f.api))
			in.FirstMatchingBlock("request", nil).Body().SetAttributeValue("output", cty.StringVal(f.output()))
			if len(left) > 0 {
				in.FirstMatchingBlock("matrix", nil).Body().SetAttributeRaw("dataset", hclwrite.TokensForTuple(kept))
			}
		}
	}
	return hclwrite.Format(blankLines.ReplaceAll(file.Bytes(), []byte("\n\n"))), nil
}

var blankLines = regexp.MustCompile(`\n{3,}`)

// server replaces what a server block has.
func (f found) server(block *hclwrite.Body, left []string) {
	in := hclwrite.NewEmptyFile().Body()
	in.AppendNewline()
	for line := range strings.SplitSeq(wordwrap.WrapString(f.comment(left), 88), "\n") {
		in.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + line + "\n")}})
	}
	in.SetAttributeValue("framework", cty.StringVal(f.framework))
	in.SetAttributeValue("url", cty.StringVal(f.url))
	in.SetAttributeValue("model", cty.StringVal(f.model))
	if f.keyEnv != "" {
		in.SetAttributeRaw("api_key", hclwrite.TokensForFunctionCall("env", hclwrite.TokensForValue(cty.StringVal(f.keyEnv))))
	}
	block.Clear() // it still knows its old attributes by name: none may be set in it
	block.AppendUnstructuredTokens(in.BuildTokens(nil))
}

// comment is what the server said of itself; its own words are quoted.
func (f found) comment(left []string) string {
	var said []string
	if f.version != "" {
		said = append(said, "version "+strconv.Quote(f.version))
	}
	if f.tokens > 0 {
		said = append(said, fmt.Sprintf("at most %d tokens in a prompt and its answer", f.tokens))
	}
	if f.slots > 0 {
		said = append(said, fmt.Sprintf("%d requests at once", f.slots))
	}
	if len(f.others) > 0 {
		said = append(said, "other models "+quoted(f.others))
	}
	if said == nil {
		said = []string{"nothing of its version and limits"}
	}
	text := "What it said when this was written: " + strings.Join(said, "; ") + "."
	if len(left) > 0 {
		text += " Left out, as too long for it: " + strings.Join(left, ", ") + "."
	}
	return text
}

// output is whether answers can be made to have their full length: a server whose engine
// is not known may refuse the fields that do so.
func (f found) output() string {
	if f.framework == "openai" || framework.ForcedFields(f.framework, 1, 1) == nil {
		return "natural"
	}
	return "forced"
}

// users are 1, 4, 16 and 64, as far as the server works on so many at once; to 16 where it
// does not say.
func (f found) users() cty.Value {
	most := min(f.slots, 64)
	if most == 0 {
		most = 16
	}
	var list []cty.Value
	for n := int64(1); n < most; n *= 4 {
		list = append(list, cty.NumberIntVal(n))
	}
	return cty.ListVal(append(list, cty.NumberIntVal(most)))
}

// templateTokens are those that a chat template may add to a prompt.
const templateTokens = 128

// fit removes the datasets whose requests are too long for the server, and names them in
// left; where all are, it makes the last one shorter. kept are references to the others.
func (f found) fit(body *hclwrite.Body) (kept []hclwrite.Tokens, left []string, err error) {
	longer := int64(1) // than the dataset says an answer may become
	if f.output() == "forced" {
		longer = framework.Headroom(f.framework, f.model, f.api)
	}
	room := f.tokens - min(templateTokens, f.tokens/2)
	sets := slices.DeleteFunc(body.Blocks(), func(b *hclwrite.Block) bool { return b.Type() != "dataset" })
	for i, b := range sets {
		shape := strings.Trim(string(b.Body().GetAttribute("shape").Expr().BuildTokens(nil).Bytes()), `" `)
		in, out, err := dataset.Longest(shape)
		if err != nil {
			return nil, nil, err
		}
		all := in + longer*out
		switch last := i == len(sets)-1; {
		case f.tokens == 0 || all <= room:
		case last && kept == nil:
			shape = fmt.Sprintf("D(%d,%d)", max(1, in*room/all), max(1, out*room/all))
			b.Body().SetAttributeValue("shape", cty.StringVal(shape))
		default:
			left = append(left, b.Labels()[0])
			body.RemoveBlock(b)
			continue
		}
		kept = append(kept, hclwrite.TokensForTraversal(hcl.Traversal{hcl.TraverseRoot{Name: "dataset"}, hcl.TraverseAttr{Name: b.Labels()[0]}}))
	}
	return kept, left, nil
}
