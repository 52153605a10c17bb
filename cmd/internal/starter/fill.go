package starter

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

// Server is one that is running already, as it says itself.
type Server struct {
	URL       string
	Model     string
	API       string // "chat" or "completions"
	Framework string
	Version   string   // "" where it does not say
	Others    []string // models that it lists too
	Tokens    int64    // of a prompt and its answer together, at most; 0 where it does not say
	Slots     int64    // requests that it works on at once; 0 where it does not say
	KeyEnv    string   // variable of the environment with its key, "" where it wants none
}

// fill writes the server into a scenario: in place of the one that it has, with datasets,
// users and answers that it can take.
func (s Server) fill(src []byte) ([]byte, error) {
	file, diags := hclwrite.ParseConfig(src, "", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	body := file.Body()
	kept, left, err := s.fit(body)
	if err != nil {
		return nil, err
	}
	for _, b := range body.Blocks() {
		switch in := b.Body(); b.Type() {
		case "server":
			s.server(in, left)
		case "variable":
			switch b.Labels()[0] {
			case "url", "model", "api_key": // the server's block has them
				body.RemoveBlock(b)
			case "concurrency":
				in.SetAttributeValue("default", s.users())
			}
		case "benchmark":
			in.SetAttributeValue("api", cty.StringVal(s.API))
			in.FirstMatchingBlock("request", nil).Body().SetAttributeValue("output", cty.StringVal(s.output()))
			if len(left) > 0 {
				in.FirstMatchingBlock("matrix", nil).Body().SetAttributeRaw("dataset", hclwrite.TokensForTuple(kept))
			}
		}
	}
	return hclwrite.Format(blankLines.ReplaceAll(file.Bytes(), []byte("\n\n"))), nil
}

var blankLines = regexp.MustCompile(`\n{3,}`)

// server replaces what a server block has.
func (s Server) server(block *hclwrite.Body, left []string) {
	in := hclwrite.NewEmptyFile().Body()
	in.AppendNewline()
	for line := range strings.SplitSeq(wordwrap.WrapString(s.comment(left), 88), "\n") {
		in.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + line + "\n")}})
	}
	in.SetAttributeValue("framework", cty.StringVal(s.Framework))
	in.SetAttributeValue("url", cty.StringVal(s.URL))
	in.SetAttributeValue("model", cty.StringVal(s.Model))
	if s.KeyEnv != "" {
		in.SetAttributeRaw("api_key", hclwrite.TokensForFunctionCall("env", hclwrite.TokensForValue(cty.StringVal(s.KeyEnv))))
	}
	block.Clear() // it still knows its old attributes by name: none may be set in it
	block.AppendUnstructuredTokens(in.BuildTokens(nil))
}

// comment is what the server said of itself; its own words are quoted.
func (s Server) comment(left []string) string {
	var said []string
	if s.Version != "" {
		said = append(said, "version "+strconv.Quote(s.Version))
	}
	if s.Tokens > 0 {
		said = append(said, fmt.Sprintf("at most %d tokens in a prompt and its answer", s.Tokens))
	}
	if s.Slots > 0 {
		said = append(said, fmt.Sprintf("%d requests at once", s.Slots))
	}
	if len(s.Others) > 0 {
		said = append(said, "other models "+Quoted(s.Others))
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
func (s Server) output() string {
	if s.Framework == "openai" || framework.ForcedFields(s.Framework, 1, 1) == nil {
		return "natural"
	}
	return "forced"
}

// users are 1, 4, 16 and 64, as far as the server works on so many at once; to 16 where it
// does not say.
func (s Server) users() cty.Value {
	most := min(s.Slots, 64)
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
func (s Server) fit(body *hclwrite.Body) (kept []hclwrite.Tokens, left []string, err error) {
	longer := int64(1) // than the dataset says an answer may become
	if s.output() == "forced" {
		longer = framework.Headroom(s.Framework, s.Model, s.API)
	}
	room := s.Tokens - min(templateTokens, s.Tokens/2)
	sets := slices.DeleteFunc(body.Blocks(), func(b *hclwrite.Block) bool { return b.Type() != "dataset" })
	for i, b := range sets {
		shape := strings.Trim(string(b.Body().GetAttribute("shape").Expr().BuildTokens(nil).Bytes()), `" `)
		in, out, err := dataset.Longest(shape)
		if err != nil {
			return nil, nil, err
		}
		all := in + longer*out
		switch last := i == len(sets)-1; {
		case s.Tokens == 0 || all <= room:
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

// Quoted names models of a server, whatever is in their names.
func Quoted(models []string) string {
	const most, longest = 6, 100
	var names []string
	for _, m := range models[:min(most, len(models))] {
		names = append(names, strconv.Quote(m[:min(longest, len(m))]))
	}
	if len(models) > most {
		names = append(names, fmt.Sprintf("%d more", len(models)-most))
	}
	return strings.Join(names, ", ")
}
