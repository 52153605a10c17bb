package framework

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sparkrun/scenario/schema"
)

// yaml writes an object as YAML: keys sorted, strings in JSON's quotes (which are YAML's
// double quotes), so that nothing reads as something else.
func yaml(m map[string]any) []byte {
	var b strings.Builder
	writeYAML(&b, m, "")
	return []byte(b.String())
}

func writeYAML(b *strings.Builder, m map[string]any, indent string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch v := m[k].(type) {
		case map[string]any:
			if len(v) == 0 {
				fmt.Fprintf(b, "%s%s: {}\n", indent, key(k))
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", indent, key(k))
			writeYAML(b, v, indent+"  ")
		default: // a list is written as JSON, which is YAML
			fmt.Fprintf(b, "%s%s: %s\n", indent, key(k), quoted(v))
		}
	}
}

// key is a name as it is where it is plain, else in quotes.
func key(k string) string {
	if k != "" && strings.Trim(k, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-0123456789") == "" && !strings.ContainsAny(k[:1], "-0123456789") && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(k)) {
		return k
	}
	return quoted(k)
}

func quoted(v any) string {
	if t, is := v.(schema.Text); is {
		v = t.Reveal()
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("framework: JSON of plain data: %v", err))
	}
	return string(b)
}
