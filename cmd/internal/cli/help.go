package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/mitchellh/go-wordwrap"
	"github.com/spf13/cobra"

	"sparkrun/runner"
	"sparkrun/runner/result"
	"sparkrun/scenario"
	"sparkrun/scenario/metric"
	"sparkrun/scenario/schema"
)

// newHelpCommand is help for commands, and for the words of scenarios and results.
func newHelpCommand(env *Env, root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		GroupID: "more",
		Use:     "help [COMMAND | reasons | metrics | BLOCK | KIND]",
		Short:   "Help for a command, a block of the language, the metrics or the reasons",
		Long: `Help for a command; for a block of the scenario language (server, phase, …) or a kind in it
(sim, synthetic, excel, …) with every attribute and its default; for the metrics with
their units and definitions; for the reasons of failures and the marks of cells.`,
		Example: "  sparkrun help apply\n  sparkrun help phase\n  sparkrun help synthetic\n  sparkrun help metrics",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				if topic(env.Stdout, args[0]) {
					return nil
				}
			}
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return exit(exitUsage, "there is no command, block or topic %q: see sparkrun --help", strings.Join(args, " "))
			}
			return c.Help()
		},
	}
}

// topic prints help that is not a command's; false where there is none.
func topic(w io.Writer, name string) bool {
	switch name {
	case "reasons":
		reasons(w)
		return true
	case "metrics":
		metrics(w)
		return true
	}
	found := false
	for _, b := range scenario.Blocks() {
		if b.Name == name {
			printBlock(w, b, "")
			return true
		}
	}
	for _, b := range scenario.Blocks() {
		for _, in := range b.Blocks {
			if in.Name == name {
				fmt.Fprintf(w, "in %s:\n", b.Name)
				printBlock(w, in, "")
				found = true
			}
		}
	}
	r := registry()
	for _, k := range []struct {
		of    string
		kinds []schema.Kind
	}{{"server, framework", r.Frameworks}, {"dataset, type", r.Datasets}, {"sink, type", r.Sinks}} {
		for _, kind := range k.kinds {
			if kind.Name == name {
				fmt.Fprintln(w, wordwrap.WrapString(fmt.Sprintf("%s = %q: %s", k.of, kind.Name, kind.Doc), helpWidth))
				printAttrs(w, "", kind.Attrs)
				if len(kind.Options) > 0 {
					fmt.Fprintln(w, "options = { … }:")
					printAttrs(w, "", kind.Options)
				}
				found = true
			}
		}
	}
	return found
}

func printBlock(w io.Writer, b scenario.BlockType, indent string) {
	label := ""
	if b.Label {
		label = " NAME"
	}
	fmt.Fprintf(w, "%s%s%s { }: %s\n", indent, b.Name, label, b.Doc)
	printAttrs(w, indent, b.Attrs)
	if b.Free != "" {
		fmt.Fprintf(w, "%s  further attributes: %s\n", indent, b.Free)
	}
	for _, in := range b.Blocks {
		printBlock(w, in, indent+"  ")
	}
}

// helpWidth is how wide the text of help is.
const helpWidth = 100

// printAttrs prints attributes: name, type and default, and under them what they are.
func printAttrs(w io.Writer, indent string, attrs []schema.Attr) {
	names := 0
	for _, a := range attrs {
		names = max(names, len(a.Name))
	}
	for _, a := range attrs {
		def := "default: " + defaultOf(a)
		if a.Required {
			def = "required"
		}
		kind := a.Type.String()
		if len(a.Values) > 0 {
			kind = strings.Join(a.Values, " | ")
		}
		fmt.Fprintf(w, "%s  %-*s  %s, %s\n", indent, names, a.Name, kind, def)
		margin := indent + strings.Repeat(" ", names+4)
		for line := range strings.SplitSeq(wordwrap.WrapString(a.Doc, uint(max(40, helpWidth-len(margin)))), "\n") {
			fmt.Fprintln(w, margin+line)
		}
	}
}

func reasons(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "Reasons: why a run, server or cell failed.")
	for _, r := range runner.Reasons() {
		fmt.Fprintf(out, "  %s\t%s\n", r.Code, r.Sentence)
	}
	fmt.Fprintln(out, "Marks: why a cell is suspect, or what it says.")
	for _, m := range result.Marks() {
		kind := ""
		switch {
		case m.Invalid:
			kind = "invalid: "
		case result.Note(m.Name):
			kind = "note: "
		}
		fmt.Fprintf(out, "  %s\t%s%s\n", m.Name, kind, m.Sentence)
	}
	out.Flush()
}

func metrics(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, group := range []struct {
		title   string
		numbers []metric.Number
	}{
		{"Of a request: request.NAME in metric and slo, a column of the raw rows; with statistics in result.NAME.STATISTIC.", metric.Request()},
		{"Gaps between tokens: result.itl_ms.STATISTIC.", []metric.Number{metric.ITL}},
		{"Of a window: result.NAME.", metric.Throughput()},
		{"Counts: result.requests.NAME.", metric.Counts()},
		{"The window: result.window.NAME.", metric.Window()},
		{"What the server's nodes and the server said of themselves over it: result.telemetry.NAME.", metric.Telemetry()},
		{"Samples of them: name and value in telemetry/*.parquet.", metric.Samples()},
	} {
		fmt.Fprintln(out, group.title)
		for _, n := range group.numbers {
			fmt.Fprintf(out, "  %s\t%s\t%s\n", n.Name, n.Unit, n.Doc)
		}
	}
	fmt.Fprintf(out, "STATISTIC is one of %s.\n", strings.Join(metric.Statistics, " "))
	fmt.Fprintf(out, "Goodput: result.goodput.SLO.NAME, NAME one of %s; the SLO \"all\" is all together.\n", strings.Join(metric.Goodput, " "))
	fmt.Fprintf(out, "Turns: result.turns.first.NAME.STATISTIC and result.turns.later.NAME.STATISTIC, the first turns of conversations and the later ones, NAME one of %s.\n", strings.Join(metric.TurnFields, " "))
	fmt.Fprintf(out, `Repeats (repeat = N): median, least and greatest; from 6 on a 95 %% bootstrap interval of the median.
Two sides are different where Mann-Whitney's test over at least 4 ok or suspect repeats each says so at
p < 0.05, on %s; %s are tested too and
corrected for their number (Holm). With fewer repeats it is %q. %q: the repeats ran in one
start of the server, and what changes from start to start is not in them.
`, result.Deciding, strings.Join(result.Compared, ", "), result.NotTested, result.SameStart)
	out.Flush()
}
