package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
)

// newReplayID makes the id of a replay. Nobody needs to guess it, and nobody is kept out by it.
func newReplayID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return "rep_" + hex.EncodeToString(b[:])
}

// followEvery is how often a replay is asked how it gets on.
const followEvery = 250 * time.Millisecond

func (p *program) deadReplayCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "replay [ID]", Args: cobra.MaximumNArgs(1), Short: "Take dead letters up again: one, those that are chosen, or all",
		Long: "Take dead letters up again, after what was wrong is mended: one, those that are chosen, or all.\n\n" +
			"The service maps each message anew, by the mapping that it has now, and takes in the part that was dead, under the message's\n" +
			"own place: it takes effect once, however often it is replayed. With its effect the letter goes; one that dies again stays, with\n" +
			"one attempt more. With --dry-run nothing changes, and it is said what would happen. The replay goes on in the service when this\n" +
			"command is interrupted; dead job shows, pauses and cancels it.",
	}
	var named naming
	named.flags(c)
	var w event.ReplayWish
	c.Flags().BoolVar(&w.DryRun, "dry-run", false, "only say what would happen")
	c.Flags().Float64Var(&w.Rate, "rate", 0, "letters a second at most; 200 where it is left out")
	c.Flags().StringVar(&w.Author, "author", "", "who wants it; default the holder of the token, without one the USER of the environment")
	detach := c.Flags().Bool("detach", false, "do not wait for its end")
	c.RunE = func(c *cobra.Command, args []string) error {
		n, err := named.read(args, p.now())
		if err != nil {
			return err
		}
		w.Letter, w.All, w.Source, w.Group, w.Since, w.Until = n.letter, n.all, n.source, n.group, n.from, n.to
		if w.Author, err = p.author(w.Author); err != nil {
			return err
		}
		var r event.Replay
		if err := p.ask(c.Context(), http.MethodPost, "/replays", nil, w, &r); err != nil {
			return err
		}
		if !*detach {
			if r, err = p.follow(c, r); err != nil {
				return err
			}
		}
		if err := p.one(r, func(out io.Writer) error { return printReplay(out, &r) }); err != nil {
			return err
		}
		return verdict(&r)
	}
	return c
}

// follow waits for a replay to end, and says on stderr how it gets on.
func (p *program) follow(c *cobra.Command, r event.Replay) (event.Replay, error) {
	told, last := "", p.now()
	for !r.State.Ended() {
		select {
		case <-time.After(followEvery):
		case <-c.Context().Done():
			fmt.Fprintf(p.err, "the replay goes on in the service: onefold dead job %s\n", r.ID)
			return r, c.Context().Err()
		}
		if err := p.ask(c.Context(), http.MethodGet, "/replays/"+escape(r.ID), nil, nil, &r); err != nil {
			return r, err
		}
		line := fmt.Sprintf("%s  %d of %d letters, %d dead again, %d skipped %s",
			r.State, r.Done.Sum(), r.Total, r.Done.Dead, r.Done.Skipped, r.Reason)
		if now := p.now(); line != told && (now.Sub(last) >= time.Second || r.State.Ended()) {
			told, last = line, now
			fmt.Fprintln(p.err, strings.TrimSpace(plain(line)))
		}
	}
	return r, nil
}

// verdict is an error where a replay did not come to its end, or left letters behind.
func verdict(r *event.Replay) error {
	switch {
	case r.State == event.ReplayFailed:
		return errors.New("the replay did not come to its end: " + r.Reason)
	case r.State == event.ReplayDone && r.Done.Dead+r.Done.Skipped > 0:
		return &findings{text: fmt.Sprintf(
			"%d letters stay: %d are dead again, %d were skipped", r.Done.Dead+r.Done.Skipped, r.Done.Dead, r.Done.Skipped)}
	}
	return nil
}

func printReplay(out io.Writer, r *event.Replay) error {
	title := "replay " + r.ID
	if r.DryRun {
		title += " (dry run: nothing was changed)"
	}
	fmt.Fprintf(out, "%s: %s, %d of %d letters", title, r.State, r.Done.Sum(), r.Total)
	if r.Reason != "" {
		fmt.Fprintf(out, " (%s)", plain(r.Reason))
	}
	fmt.Fprint(out, "\n\n")
	if len(r.Groups) == 0 {
		return nil
	}
	rows := make([][]string, 0, len(r.Groups))
	for _, g := range r.Groups {
		row := []string{g.Group, g.Source, g.Reason, g.Path}
		for _, n := range []int64{g.Done.Applied, g.Done.Duplicate, g.Done.Stale, g.Done.Ignored, g.Done.Dead, g.Done.Skipped} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, append(row, g.Why))
	}
	columns := []string{"group", "source", "was", "path", "applied", "duplicate", "stale", "ignored", "dead", "skipped", "why it stays"}
	return table(out, columns, rows)
}

func (p *program) deadJobCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "job [ID]", Args: cobra.MaximumNArgs(1),
		Short: "List the replays of dead letters, or show, pause, resume or cancel one",
	}
	ways := map[string]*bool{
		"pause": c.Flags().Bool("pause", false, "let it wait"), "resume": c.Flags().Bool("resume", false, "let it go on"),
		"cancel": c.Flags().Bool("cancel", false, "end it; what was replayed by then is done"),
	}
	c.MarkFlagsMutuallyExclusive("pause", "resume", "cancel")
	c.RunE = func(c *cobra.Command, args []string) error {
		method, action := http.MethodGet, ""
		for way, wanted := range ways {
			if *wanted {
				method, action = http.MethodPost, "/"+way
			}
		}
		if len(args) == 0 {
			if action != "" {
				return &usage{text: "which replay?", hint: "name it: onefold dead job lists them"}
			}
			return p.jobs(c)
		}
		var r event.Replay
		if err := p.ask(c.Context(), method, "/replays/"+escape(args[0])+action, nil, nil, &r); err != nil {
			return err
		}
		return p.one(r, func(out io.Writer) error { return printReplay(out, &r) })
	}
	return c
}

func (p *program) jobs(c *cobra.Command) error {
	var found console.ReplayList
	if err := p.ask(c.Context(), http.MethodGet, "/replays", nil, nil, &found); err != nil {
		return err
	}
	l := listing{
		columns: []string{"id", "started", "by", "state", "letters", "of", "dead", "dry"}, items: found.Replays,
		empty: "nothing was replayed since the service started",
	}
	for _, r := range found.Replays {
		l.rows = append(l.rows, []string{
			r.ID, moment(r.StartedAt), r.Author, string(r.State), strconv.FormatInt(r.Done.Sum(), 10), strconv.FormatInt(r.Total, 10),
			strconv.FormatInt(r.Done.Dead, 10), strconv.FormatBool(r.DryRun),
		})
	}
	return p.list(l)
}
