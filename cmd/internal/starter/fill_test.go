package starter

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// FuzzFill: whatever a server says, the scenario is formatted, and it has one server, which
// means what was said and nothing else.
func FuzzFill(f *testing.F) {
	taking := slices.DeleteFunc(slices.Clone(Scenarios), Scenario.StartsServers)
	for i := range taking {
		f.Add(i, "openai/gpt-oss-20b", "0.11.1", "lora", "OPENAI_API_KEY", int64(4096), int64(8))
		f.Add(i, "a\"b\\${c}$${d}%{if}\n}\u00e9e\u0301\u2028\x00\xff", "\n}\nserver \"x\" {", "*/ \r\n", "A\"B", int64(1), int64(1))
		f.Add(i, "", "", "", "", int64(0), int64(0))
	}
	f.Fuzz(func(t *testing.T, which int, model, version, other, keyEnv string, tokens, slots int64) {
		model = strings.ToValidUTF8(model, "\ufffd") // JSON has nothing else
		said := Server{URL: "http://h/v1", Model: model, API: "chat", Framework: "vllm", Version: version, Others: []string{other, model}, KeyEnv: keyEnv, Tokens: max(0, tokens), Slots: max(0, slots)}
		src, err := taking[uint(which)%uint(len(taking))].For(said)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(hclwrite.Format(src), src) {
			t.Errorf("not formatted:\n%s", src)
		}
		file, diags := hclsyntax.ParseConfig(src, "", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("%v:\n%s", diags, src)
		}
		servers := slices.DeleteFunc(file.Body.(*hclsyntax.Body).Blocks, func(b *hclsyntax.Block) bool { return b.Type != "server" })
		if len(servers) != 1 {
			t.Fatalf("%d servers:\n%s", len(servers), src)
		}
		attrs := servers[0].Body.Attributes
		want := []string{"api_key", "framework", "model", "url"}
		if keyEnv == "" {
			want = want[1:]
		}
		got, _ := attrs["model"].Expr.Value(nil)
		if names := slices.Sorted(maps.Keys(attrs)); !slices.Equal(names, want) || !got.RawEquals(cty.StringVal(model)) {
			t.Errorf("%q became %v, %v:\n%s", model, names, got, src)
		}
	})
}
