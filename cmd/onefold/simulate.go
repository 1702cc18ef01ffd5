package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/simulation"
)

func (p *program) simulateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "simulate", Args: cobra.NoArgs,
		Short: "Write the messages of a made-up town to files or to a broker, with the truth about its people",
		Long: "Write the messages of a simulated bank, tills and web shop in their native formats: to --out as one file of JSON lines a\n" +
			"topic, or to the topics of --brokers. The truth, who is behind each party, goes to truth.csv in --out.",
		Example: "  onefold simulate --people 100 --events 1000 --seed 1 --out town\n  onefold simulate --brokers 127.0.0.1:9092",
	}
	people := c.Flags().Int("people", 1000, "people of the town")
	events := c.Flags().Int("events", 10000, "messages that its systems send")
	seed := c.Flags().Uint64("seed", 1, "the same seed makes the same town")
	core := c.Flags().Float64("core", 0, "share of the grown-ups whom an old core banking system knows, its files go to "+simulation.CoreTopic)
	out := c.Flags().String("out", "", "folder to write to, made if it is not there")
	brokers := c.Flags().StringSlice("brokers", nil, "addresses of a broker to send to")
	rate := c.Flags().Int("rate", 0, "messages a second to the broker, 0 as fast as it goes")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *out == "" && len(*brokers) == 0 {
			return &usage{text: "nowhere to write to", hint: "add --out FOLDER, or --brokers HOST:PORT"}
		}
		config := simulation.Config{People: *people, Events: *events, Seed: *seed, Core: *core}
		if err := config.Check(); err != nil {
			return &usage{text: err.Error(), hint: "give --people, --events and --core within these bounds"}
		}
		town := simulation.New(config)
		if len(*brokers) > 0 {
			if err := p.simulateTo(c.Context(), town, *brokers, *rate); err != nil {
				return err
			}
		}
		if *out == "" {
			return nil
		}
		return p.simulateInto(c.Context(), town, *out, len(*brokers) == 0)
	}
	return c
}

// simulateTo sends a town's messages to a broker.
func (p *program) simulateTo(ctx context.Context, town *simulation.Town, brokers []string, rate int) error {
	client, err := kafka.NewClient(kafka.Config{Brokers: brokers, ClientID: "onefold-simulate"})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Check(ctx); err != nil {
		return surroundings(err, "")
	}
	for _, topic := range append(simulation.Topics(), simulation.CoreTopic) {
		if err := client.EnsureTopic(ctx, topic, kafka.DefaultPartitions, nil); err != nil {
			return surroundings(err, "")
		}
	}
	to := kafka.NewPublisher(client, kafka.PublisherOptions{Now: p.now})
	defer to.Close()
	n := 0
	sent := make(chan int)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for more := range sent {
			n += more
		}
	}()
	err = feed(ctx, town.Messages(), to, rate, func(more int) { sent <- more })
	close(sent)
	<-counted
	fmt.Fprintf(p.err, "%d messages sent\n", n)
	return err
}

// fileMessage is a message as it stands in a file: one JSON object a line. Bytes are base64, null stays null.
type fileMessage struct {
	Time    string              `json:"time"`
	Key     []byte              `json:"key"`
	Value   []byte              `json:"value"`
	Headers []simulation.Header `json:"headers,omitempty"`
}

// simulateInto writes a town's messages, a file a topic, and its truth into a folder.
func (p *program) simulateInto(ctx context.Context, town *simulation.Town, dir string, messages bool) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return surroundings(err, "name a folder that this user may write to with --out")
	}
	files := &folder{dir: dir, open: map[string]*bufio.Writer{}}
	defer func() { err = errors.Join(err, files.close()) }()
	n := 0
	if messages {
		for m := range town.Messages() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w, err := files.file(m.Topic + ".ndjson")
			if err != nil {
				return surroundings(err, "name a folder that this user may write to with --out")
			}
			line := fileMessage{Time: m.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), Key: m.Key, Value: m.Value, Headers: m.Headers}
			if err := json.NewEncoder(w).Encode(line); err != nil {
				return err
			}
			n++
		}
	}
	w, err := files.file("truth.csv")
	if err != nil {
		return surroundings(err, "name a folder that this user may write to with --out")
	}
	truth := csv.NewWriter(w)
	_ = truth.Write([]string{"source", "key", "person"}) // a csv.Writer keeps its error for Flush
	for _, t := range town.Truth() {
		_ = truth.Write([]string{t.Source, t.Key, t.Person})
	}
	truth.Flush()
	if messages {
		fmt.Fprintf(p.err, "%d messages written to %s\n", n, dir)
	}
	fmt.Fprintf(p.err, "the truth is in %s\n", filepath.Join(dir, "truth.csv"))
	return truth.Error()
}

// folder is the files that are written at one time.
type folder struct {
	dir   string
	open  map[string]*bufio.Writer
	files []io.Closer
}

func (f *folder) file(name string) (*bufio.Writer, error) {
	if w := f.open[name]; w != nil {
		return w, nil
	}
	file, err := os.Create(filepath.Join(f.dir, name))
	if err != nil {
		return nil, err
	}
	f.files = append(f.files, file)
	f.open[name] = bufio.NewWriter(file)
	return f.open[name], nil
}

func (f *folder) close() error {
	var errs []error
	for _, w := range f.open {
		errs = append(errs, w.Flush())
	}
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}
