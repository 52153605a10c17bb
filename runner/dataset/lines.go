package dataset

import (
	"strconv"
	"strings"

	"sparkrun/scenario/schema"
)

func init() {
	register(kind{Kind: schema.Kind{
		Name: "lines", Attrs: fileAttrs("The file;"),
		Doc: "A text file with a prompt in each line that is not empty. How long answers are is the server's, or request's min_tokens and max_tokens.",
	}, read: func(v schema.Values, open Opener) (set, error) {
		return readFile(v, open, format{lines, func(raw []byte, line int64) (*script, error) {
			return &script{id: strconv.FormatInt(line-1, 10), turns: []turn{{user: strings.TrimRight(string(raw), "\r")}}}, nil
		}}, false)
	}})
}
