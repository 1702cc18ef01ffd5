package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	csvtable "github.com/onefold/onefold/adapters/table"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/store/memory"
)

// resolved is a file of records, put together.
type resolved struct {
	summary  Evaluation
	keys     []string // of the rows
	cluster  []int    // of each row: the first row of its cluster
	matcher  *match.Matcher
	features []*customer.Features
}

// evalSource is the source that rows of a file come from.
const evalSource = "file"

// resolve puts the rows together by the Registry itself, under the shipped model with the statistics of all rows.
func (e *evaluation) resolve(ctx context.Context, t *csvtable.Table) (*resolved, error) {
	begun, cpu := e.now(), processorTime()
	rows, err := e.changes(t)
	if err != nil {
		return nil, err
	}
	ids, err := customer.NewIDs([]byte("the key of a trial is no secret!"))
	if err != nil {
		return nil, err
	}
	model, features, err := surveyed(ctx, ids, rows)
	if err != nil {
		return nil, err
	}
	r := &resolved{matcher: match.With(model), features: features, summary: Evaluation{
		Records: len(rows), Model: model.Version, Households: model.Snapshot.Households.Live(),
	}}
	candidates, err := r.absorb(ctx, ids, rows, begun)
	if err != nil {
		return nil, err
	}
	sizes := map[int]int{}
	for _, c := range r.cluster {
		sizes[c]++
		r.summary.Largest = max(r.summary.Largest, sizes[c])
	}
	s := &r.summary
	s.Customers = len(sizes)
	s.Candidates = round(float64(candidates)/float64(max(1, len(rows))), 2)
	s.WallSeconds, s.CPUSeconds = round(e.now().Sub(begun).Seconds(), 3), round((processorTime()-cpu).Seconds(), 3)
	s.RecordsPerSecond = round(float64(len(rows))/max(s.WallSeconds, 0.001), 1)
	return r, nil
}

// changes makes a sealed change of each row; a row that breaks a limit is an error that names it.
func (e *evaluation) changes(t *csvtable.Table) ([]customer.Mapped, error) {
	rows := make([]customer.Mapped, 0, t.Rows())
	err := t.Each(func(row csvtable.Row) error {
		m := &event.Message{Source: evalSource, Topic: "rows", Offset: int64(len(rows)), Epoch: -1, Time: time.Unix(0, 0).UTC()}
		version, err := customer.SequenceVersion("1", "")
		if err != nil {
			return err
		}
		c := customer.Change{Key: row.Key, Op: customer.Upsert, Version: customer.Version{Source: version}, Party: row.Party}
		sealed, refused := customer.Seal([]customer.Change{c}, m, 1)
		if len(refused) > 0 {
			return fmt.Errorf("row %d: %w", len(rows)+1, refused[0].Err)
		}
		rows = append(rows, customer.Mapped{Message: m, Adapter: evalSource, Changes: sealed})
		return nil
	})
	return rows, err
}

// surveyed answers the shipped model with the statistics of all rows, and the features of each.
func surveyed(ctx context.Context, ids customer.IDs, rows []customer.Mapped) (*match.Model, []*customer.Features, error) {
	features := make([]*customer.Features, len(rows))
	plain := match.New()
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for n := range workers {
		g.Go(func() error {
			for i := n; i < len(rows); i += workers {
				c := &rows[i].Changes[0]
				rec := &customer.Record{ID: ids.Record(c.Source, c.Key), Source: c.Source, Key: c.Key}
				rec.Fold(c.Op, c, c.Party)
				features[i] = plain.Standardise(rec)
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	model := match.Default()
	model.Snapshot = match.Surveyed(features)
	return model, features, nil
}

// survivors is the merger of a trial: who is who does not hang on which value survives.
type survivors struct{}

func (survivors) Survive([]*customer.Record) []customer.Attribute { return nil }

// prepared answers the features that were standardised for the statistics: no row changes after that.
type prepared struct {
	*match.Matcher
	of map[customer.RecordID]*customer.Features
}

func (p *prepared) Standardise(r *customer.Record) *customer.Features { return p.of[r.ID] }

// absorb takes the rows into a registry in memory, and reads off who is with whom.
func (r *resolved) absorb(ctx context.Context, ids customer.IDs, rows []customer.Mapped, now time.Time) (candidates int, err error) {
	store := memory.New()
	defer func() { err = errors.Join(err, store.Close()) }()
	ready := &prepared{Matcher: r.matcher, of: make(map[customer.RecordID]*customer.Features, len(rows))}
	for _, f := range r.features {
		ready.of[f.Record] = f
	}
	registry := customer.NewRegistry(store, ready, survivors{}, ids)
	for group := range slices.Chunk(rows, benchGroup) {
		out, err := registry.Absorb(ctx, customer.Batch{Now: now, Messages: group})
		if err != nil {
			return 0, err
		}
		candidates += out.Candidates
	}
	at := make(map[string]int, len(rows))
	for i := range rows {
		r.keys = append(r.keys, rows[i].Changes[0].Key)
		at[r.keys[i]] = i
	}
	r.cluster = make([]int, len(rows))
	return candidates, store.EachCustomer(ctx, func(c *customer.Customer, _ []*customer.Record, _ []*customer.Interaction) error {
		first := len(rows)
		for _, m := range c.Members {
			first = min(first, at[m.Key])
		}
		for _, m := range c.Members {
			r.cluster[at[m.Key]] = first
		}
		return nil
	})
}

// writeClusters writes the cluster of each row, in the order of the rows. A cluster is called by the id of its first row.
func writeClusters(file string, r *resolved) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return surroundings(err, "name a file that this user may write to with --clusters")
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := csv.NewWriter(f)
	_ = w.Write([]string{"id", "cluster"}) // a csv.Writer keeps its error for Flush
	for i, c := range r.cluster {
		_ = w.Write([]string{r.keys[i], r.keys[c]})
	}
	w.Flush()
	return w.Error()
}

// judge reads the truth and holds the clusters against it. Rows of which it says nothing are not judged.
func (e *evaluation) judge(r *resolved) (*Judged, error) {
	party, err := e.readTruth()
	if err != nil {
		return nil, err
	}
	var clusters []int
	var parties []string
	var features []*customer.Features
	for i, k := range r.keys {
		if p, known := party[k]; known {
			clusters, parties, features = append(clusters, r.cluster[i]), append(parties, p), append(features, r.features[i])
		}
	}
	if len(clusters) == 0 && len(r.keys) > 0 {
		return nil, event.Diagnostics{{
			File: e.truth, Message: "none of its ids is the id of a record",
			Hint: "say with --columns which column of the records is the id",
		}}
	}
	if rest := len(party) - len(clusters); rest > 0 {
		fmt.Fprintf(e.err, "%d ids of the truth are no record\n", rest)
	}
	j := match.Judge(clusters, parties)
	distinct := slices.Clone(parties)
	slices.Sort(distinct)
	return &Judged{
		Pairwise: j.Pairwise, BCubed: j.BCubed, TruePairs: j.Pairs, JoinedPairs: j.Joined, RightPairs: j.Right,
		PairCompleteness: match.Completeness(r.matcher, r.features, features, parties),
		Judged:           len(clusters), Parties: len(slices.Compact(distinct)),
	}, nil
}

// readTruth answers the party of each id: the column that is called like an id, or else the first, and the other one.
func (e *evaluation) readTruth() (map[string]string, error) {
	f, err := os.Open(e.truth)
	if err != nil {
		return nil, surroundings(err, "name a file that this user may read with --truth")
	}
	defer f.Close()
	pairs, err := csvtable.Pairs(e.truth, f)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		if other, twice := out[p[0]]; twice && other != p[1] {
			return nil, event.Diagnostics{{
				File: e.truth, Message: "an id is said to be two parties", Hint: "one line an id: id,party",
			}}
		}
		out[p[0]] = p[1]
	}
	return out, nil
}
