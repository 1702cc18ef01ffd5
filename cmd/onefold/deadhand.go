package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

// maxEditFile is how much is read of the file of an edit: a little more than the service takes, so that it is the one to refuse.
const maxEditFile = 1<<20 + 1

func (p *program) deadEditCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "edit ID", Args: cobra.ExactArgs(1), Short: "Put other bytes in the place of a dead letter's, for its next replays",
		Long: "Put other bytes in the place of a dead letter's, for its next replays. What came stays beside them, and so does who edited it\n" +
			"and why. The edit goes through the same mapping and the same checks; what a replay would come to is said at once.\n\n" +
			"  onefold dead show ID --reveal --value > letter.json\n" +
			"  onefold dead edit ID --file letter.json --reason 'a comma was missing'\n" +
			"  onefold dead replay ID",
	}
	file := c.Flags().String("file", "", "file with the value; - reads standard input")
	headers := c.Flags().StringArray("header", nil, "name=value, instead of all headers that came; may be repeated")
	reason := c.Flags().String("reason", "", "why")
	author := c.Flags().String("author", "", "who edits; default the holder of the token, without one the USER of the environment")
	back := c.Flags().Bool("back", false, "take the edit back")
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "/dead-letters/" + escape(args[0]) + "/edit"
		var out console.Edited
		if *back {
			if *file != "" || len(*headers) > 0 {
				return &usage{text: "--back takes the edit back, and --file and --header make one", hint: "leave one of them out"}
			}
			if err := p.ask(c.Context(), http.MethodDelete, path, nil, nil, &out); err != nil {
				return err
			}
			return p.edited(&out)
		}
		wish := console.Edit{Reason: *reason}
		if *file == "" || *reason == "" {
			return &usage{text: "an edit has a value and a reason", hint: "add --file FILE and --reason WHY"}
		}
		var err error
		if wish.Value, err = p.content(*file); err != nil {
			return err
		}
		for _, h := range *headers {
			name, value, ok := strings.Cut(h, "=")
			if !ok {
				return &usage{text: "a header is written name=value", hint: "--header X-Shopify-Topic=customers/update"}
			}
			wish.Headers = append(wish.Headers, event.Header{Key: name, Value: []byte(value)})
		}
		if wish.Author, err = p.author(*author); err != nil {
			return err
		}
		if err := p.ask(c.Context(), http.MethodPut, path, nil, wish, &out); err != nil {
			return err
		}
		return p.edited(&out)
	}
	return c
}

// content reads a file, or standard input.
func (p *program) content(name string) ([]byte, error) {
	in := p.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &usage{text: "--file: " + err.Error(), hint: "name a file that can be read"}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxEditFile))
	if b == nil {
		b = []byte{}
	}
	return b, err
}

func (p *program) edited(out *console.Edited) error {
	return p.one(out, func(w io.Writer) error {
		text := out.Outcome
		if out.Reason != "" {
			text += " (" + out.Reason + ")"
		}
		_, err := fmt.Fprintf(w, "a replay of %s would come to: %s\n", out.Letter, plain(text))
		return err
	})
}

func (p *program) deadDiscardCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "discard [ID]", Args: cobra.MaximumNArgs(1), Short: "Let dead letters go without a replay: one, those that are chosen, or all",
		Long: "Let dead letters go without a replay: one, those that are chosen, or all. What they say is lost; who let them go and why is\n" +
			"written down of each: onefold dead notes.",
	}
	var named naming
	named.flags(c)
	var w console.Discard
	c.Flags().StringVar(&w.Reason, "reason", "", "why; it must be given")
	c.Flags().StringVar(&w.Author, "author", "", "who discards; default the holder of the token, without one the USER of the environment")
	c.RunE = func(c *cobra.Command, args []string) error {
		n, err := named.read(args, p.now())
		if err != nil {
			return err
		}
		if w.Reason == "" {
			return &usage{text: "what is discarded is lost", hint: "say why: --reason"}
		}
		w.Letter, w.All, w.Source, w.Group, w.Since, w.Until = n.letter, n.all, n.source, n.group, n.from, n.to
		if w.Author, err = p.author(w.Author); err != nil {
			return err
		}
		sum := console.Discarded{More: true}
		for sum.More {
			var out console.Discarded
			if err := p.ask(c.Context(), http.MethodPost, "/dead-letters/discard", nil, w, &out); err != nil {
				return err
			}
			sum.Discarded, sum.More = sum.Discarded+out.Discarded, out.More && out.Discarded > 0
		}
		return p.one(sum, func(out io.Writer) error {
			_, err := fmt.Fprintf(out, "%d dead letters are discarded\n", sum.Discarded)
			return err
		})
	}
	return c
}

func (p *program) deadNotesCommand() *cobra.Command {
	c := &cobra.Command{Use: "notes", Args: cobra.NoArgs, Short: "List what people did to dead letters that have gone, newest first"}
	limit := c.Flags().Int("limit", 50, "at most so many, up to 500")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var found console.Notes
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		if err := p.ask(c.Context(), http.MethodGet, "/dead-letters/notes", query, nil, &found); err != nil {
			return err
		}
		l := listing{
			columns: []string{"at", "action", "letter", "source", "where", "was", "by", "why"}, items: found.Notes, empty: "nobody did anything",
		}
		for _, n := range found.Notes {
			where := fmt.Sprintf("%s/%d/%d %s", n.Topic, n.Partition, n.Offset, n.Part)
			l.rows = append(l.rows, []string{moment(n.At), n.Action, n.Letter, n.Source, strings.TrimSpace(where), n.Reason, n.By, n.Why})
		}
		return p.list(l)
	}
	return c
}
