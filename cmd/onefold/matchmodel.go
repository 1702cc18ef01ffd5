package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/onefold/onefold/console"
)

func (p *program) modelCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "model", Args: cobra.NoArgs,
		Short: "Show what the running service matches records by",
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		var m console.ModelStatus
		if err := p.ask(c.Context(), http.MethodGet, "/model", nil, nil, &m); err != nil {
			return err
		}
		return p.one(m, func(w io.Writer) error { return printModel(w, &m) })
	}
	return c
}

// surveyPoll is how often a survey that is waited for is asked after.
const surveyPoll = 200 * time.Millisecond

func (p *program) surveyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "survey", Args: cobra.NoArgs,
		Short: "Have the service count what its records look like, and match everything anew by it while changes go on",
		Long: "Have the service count what its records look like now: how common names, cities and the like are, and whether families share\n" +
			"addresses. Everything is then matched anew under these statistics, while changes go on; customers may merge and split by it.\n\n" +
			"The service does it by itself at 500 records and whenever there are four times as many as the last time, unless match.survey\n" +
			"is manual.",
	}
	wait := c.Flags().Bool("wait", false, "until everything is matched anew")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var m console.ModelStatus
		if err := p.ask(c.Context(), http.MethodPost, "/model/survey", nil, nil, &m); err != nil {
			return err
		}
		ticket := m.Asked
		begun, told := p.now(), int64(-1)
		for *wait && m.Answered < ticket {
			if m.Asked < ticket {
				return &environment{text: "the service was started anew, and knows nothing of what was asked before", remedy: "ask again"}
			}
			select {
			case <-time.After(surveyPoll):
			case <-c.Context().Done():
				return c.Context().Err()
			}
			if err := p.ask(c.Context(), http.MethodGet, "/model", nil, nil, &m); err != nil {
				return err
			}
			if p.now().Sub(begun) > 2*time.Second && m.Rematched != told {
				told = m.Rematched
				fmt.Fprintf(p.err, "%d of about %d are matched anew\n", m.Rematched, m.Records)
			}
		}
		return p.one(m, func(w io.Writer) error { return printModel(w, &m) })
	}
	return c
}

func printModel(w io.Writer, m *console.ModelStatus) error {
	surveyed, state := "never: the statistics that ship with us", "everything is matched by it"
	if m.Survey > 0 {
		surveyed = m.SurveyedAt.UTC().Format(time.RFC3339)
	}
	if m.Rematching {
		state = "everything is being matched anew, " + strconv.FormatInt(m.Rematched, 10) + " are done"
	}
	households := "families do not share addresses here"
	if m.Households {
		households = "families share addresses here"
	}
	way := "when asked"
	if m.Automatic {
		way = "by itself, with four times as many records"
	}
	return table(w, nil, [][]string{
		{"model", m.Version},
		{"surveyed", surveyed},
		{"records", strconv.FormatInt(m.Records, 10)},
		{"households", households},
		{"state", state},
		{"next survey", way},
	})
}
