package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/cmd/onefold/config"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/store/sqlite"
)

// Rewound is what became of one partition's position.
type Rewound struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	Stood     int64  `json:"stood"` // the next offset, before
	Next      int64  `json:"next"`  // and now; -1 for the earliest record
}

func (p *program) rewindCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rewind SOURCE", Args: cobra.ExactArgs(1),
		Short: "Choose where a source is read from at the next start; the service must be stopped",
		Long: "Choose where a source is read from at the next start, back or ahead of where it stands; the service must be stopped.\n\n" +
			"This is the way on for a partition that is halted. What was read before keeps its effect: a message that comes again is a\n" +
			"duplicate and changes nothing. Messages that are passed over are never read.",
	}
	file := configFlag(c)
	to := c.Flags().String("to", "", "earliest, or the offset of the first message to read")
	only := c.Flags().Int32("partition", -1, "of this partition alone; an offset needs it")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := p.load(*file)
		if err != nil {
			return err
		}
		src, ok := cfg.Sources[args[0]]
		if !ok {
			return &usage{text: fmt.Sprintf("%s names no source %q", *file, args[0]), hint: fmt.Sprintf("it has %v", cfg.SourceNames())}
		}
		if c.Flags().Changed("partition") && *only < 0 {
			return &usage{text: fmt.Sprintf("there is no partition %d", *only), hint: "--partition is 0 or more; leave it out for all of them"}
		}
		next, err := offset(*to, *only)
		if err != nil {
			return err
		}
		store, err := existing(c, cfg)
		if err != nil {
			return err
		}
		done, err := rewind(c, store, event.Partition{Source: args[0], Topic: src.Topic, Partition: *only}, next)
		if err = errors.Join(err, store.Close()); err != nil {
			return err
		}
		l := listing{columns: []string{"source", "partition", "stood", "next"}, items: done}
		for _, d := range done {
			l.rows = append(l.rows, []string{
				d.Source, strconv.Itoa(int(d.Partition)), strconv.FormatInt(d.Stood, 10), strconv.FormatInt(d.Next, 10),
			})
		}
		return p.list(l)
	}
	return c
}

// offset reads where to go to.
func offset(to string, partition int32) (int64, error) {
	if to == "earliest" {
		return -1, nil
	}
	n, err := strconv.ParseInt(to, 10, 64)
	switch {
	case err != nil || n < 0:
		return 0, &usage{text: "--to is neither earliest nor an offset", hint: "write --to earliest, or --to 42 --partition 0"}
	case partition < 0:
		return 0, &usage{text: "an offset is one partition's", hint: "add --partition"}
	}
	return n, nil
}

// existing opens the store that the service has made.
func existing(c *cobra.Command, cfg *config.Config) (*sqlite.Store, error) {
	path := cfg.Store.SQLite.Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &environment{text: "there is no store at " + path + " yet: nothing was read", remedy: "run the service first", err: err}
	}
	store, err := sqlite.Open(c.Context(), path)
	if err != nil {
		return nil, surroundings(err, "stop the service first")
	}
	return store, nil
}

// rewind moves the positions of a source, of all its partitions where none is named.
func rewind(c *cobra.Command, store *sqlite.Store, of event.Partition, to int64) ([]Rewound, error) {
	positions, err := store.Positions(c.Context())
	if err != nil {
		return nil, err
	}
	found := map[int32]bool{}
	for _, pos := range positions {
		if pos.Source == of.Source && pos.Topic == of.Topic && (of.Partition < 0 || pos.Partition.Partition == of.Partition) {
			found[pos.Partition.Partition] = true
		}
	}
	if len(found) == 0 {
		return nil, &usage{text: fmt.Sprintf("%s has read nothing there yet", of.Source), hint: "onefold source list shows its partitions"}
	}
	stood, err := pipeline.Rewind(c.Context(), store, of.Source, of.Topic, slices.Sorted(maps.Keys(found)), to)
	out := make([]Rewound, len(stood))
	for i, pos := range stood {
		out[i] = Rewound{Source: of.Source, Partition: pos.Partition.Partition, Stood: pos.Next, Next: to}
	}
	return out, err
}

// remedy says how a halted partition goes on; reading on by itself would lose records, or take others for them.
func remedy(st *kafka.PartitionState) string {
	ways := map[string]string{
		kafka.HaltTruncated: "Put back the broker's log, or read what there is now",
		kafka.HaltDataLost:  "Read what is left",
		kafka.HaltCorrupt:   "Put back the broker's log, or pass over the batch",
		kafka.HaltGone:      "Make the topic again and read it, or take the source out of the configuration",
		kafka.HaltRecreated: "Read the new topic",
	}
	way, ok := ways[st.Halted]
	if !ok {
		return ""
	}
	to := "earliest"
	if st.Halted == kafka.HaltCorrupt {
		to = "OFFSET"
	}
	return fmt.Sprintf("%s: stop the service and run onefold source rewind %s --partition %d --to %s. ",
		way, st.Source, st.Partition.Partition, to)
}
