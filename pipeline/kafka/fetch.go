package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// briefWait is the broker's patience while a partition is left out of the request for lack of room: it may drain any moment.
const briefWait = 10 * time.Millisecond

// fetcher reads the partitions of one subscription that one broker leads, all in one request, on one connection.
type fetcher struct {
	sub      *subscription
	node     int32
	woken    chan struct{} // 1
	decoder  decoder
	buf      []byte
	turn     int
	failures int
	told     bool // the failure is in the log
}

func (f *fetcher) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// run fetches until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		parts, wait := f.hungry(time.Now())
		if len(parts) == 0 {
			f.rest(ctx, wait)
			continue
		}
		if err := f.fetch(ctx, parts, wait); err != nil && ctx.Err() == nil {
			f.fail(ctx, parts, err)
		}
	}
}

// hungry answers the partitions to ask for, each time beginning with another, because the broker spends the byte limit in
// their order; and how long to wait, for the broker or, where there is none, here (0: until woken).
func (f *fetcher) hungry(now time.Time) ([]*partition, time.Duration) {
	var parts []*partition
	wait := f.sub.o.MaxWait
	var soonest time.Time
	for _, p := range f.sub.all() {
		yes, full, later := p.hungry(f.node, now)
		if yes {
			parts = append(parts, p)
		}
		if full {
			wait = min(wait, briefWait)
		}
		if !later.IsZero() && (soonest.IsZero() || later.Before(soonest)) {
			soonest = later
		}
	}
	if len(parts) == 0 && soonest.IsZero() {
		return nil, 0
	}
	if len(parts) == 0 {
		return nil, max(soonest.Sub(now), time.Millisecond)
	}
	if !soonest.IsZero() {
		wait = min(wait, max(soonest.Sub(now), 0))
	}
	f.turn++
	n := f.turn % len(parts)
	return append(parts[n:len(parts):len(parts)], parts[:n]...), wait
}

func (f *fetcher) rest(ctx context.Context, d time.Duration) {
	var alarm <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-ctx.Done():
	case <-f.woken:
	case <-alarm:
	}
}

// fetch asks once for parts and hands the answers to them. Its error is the connection's.
func (f *fetcher) fetch(ctx context.Context, parts []*partition, wait time.Duration) error {
	c := f.sub.client
	for _, p := range parts {
		if err := f.begin(ctx, p); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wait+requestTimeout) // a frozen broker is noticed by nothing else
	defer cancel()
	v, err := c.version(ctx, f.node, kmsg.Fetch.Int16())
	if err != nil {
		return err
	}
	req, asked := f.request(parts, wait)
	req.SetVersion(v)
	resp, buf, err := c.exchange(ctx, f.node, req, f.buf)
	if f.buf = buf; cap(buf) > 2*int(f.sub.o.RequestBytes) {
		f.buf = nil
	}
	if err != nil {
		return err
	}
	got, ok := resp.(*kmsg.FetchResponse)
	if !ok {
		return fmt.Errorf("fetch answered a %T", resp)
	}
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return err
	}
	f.failures, f.told = 0, false
	for _, t := range got.Topics {
		for i := range t.Partitions {
			if q, ok := asked[t.Partitions[i].Partition]; ok {
				f.answer(ctx, q.part, q.offset, &t.Partitions[i])
			}
		}
	}
	return nil
}

// begin finds the first offset of a partition that was never read.
func (f *fetcher) begin(ctx context.Context, p *partition) error {
	p.mu.Lock()
	at, next := p.at, p.next
	p.mu.Unlock()
	if next >= 0 {
		return nil
	}
	start, err := f.sub.client.offset(ctx, p.Topic, at, earliest)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.next = start
	p.mu.Unlock()
	return nil
}

type question struct {
	part   *partition
	offset int64
}

// request builds the request: no fetch session, read committed, and both epochs, by which the broker notices that we know an
// old leader and that the log was cut behind our back.
func (f *fetcher) request(parts []*partition, wait time.Duration) (*kmsg.FetchRequest, map[int32]question) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes, req.MaxBytes = 1, f.sub.o.RequestBytes
	req.IsolationLevel = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = f.sub.topic, f.sub.id
	asked := make(map[int32]question, len(parts))
	for _, p := range parts {
		rp := kmsg.NewFetchRequestTopicPartition()
		p.mu.Lock()
		rp.Partition, rp.CurrentLeaderEpoch = p.Partition.Partition, p.at.epoch
		rp.FetchOffset, rp.LastFetchedEpoch = p.next, p.epoch
		p.mu.Unlock()
		rp.PartitionMaxBytes = f.sub.o.PartitionBytes
		t.Partitions = append(t.Partitions, rp)
		asked[rp.Partition] = question{p, rp.FetchOffset}
	}
	req.Topics = []kmsg.FetchRequestTopic{t}
	return req, asked
}

// fail handles a lost connection: the first is retried at once, for it may only have been an old one from the pool.
func (f *fetcher) fail(ctx context.Context, parts []*partition, err error) {
	for _, p := range parts {
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
	}
	f.failures++
	if f.failures == 1 && stale(err) {
		return
	}
	if !f.told {
		f.told = true
		f.sub.log.Warn("the broker cannot be read from, trying again", "topic", f.sub.topic, "broker", f.node, "error", err)
	}
	f.sub.kick()
	_ = sleep(ctx, f.sub.client.backoff(f.failures-1)) // the loop looks at ctx
}

// answer does what one partition's answer asks for.
func (f *fetcher) answer(ctx context.Context, p *partition, asked int64, rp *kmsg.FetchResponseTopicPartition) {
	now := time.Now()
	switch err := kerr.ErrorForCode(rp.ErrorCode); {
	case err == nil && rp.DivergingEpoch.EndOffset >= 0:
		// It may have grown again past our offset since: only the epochs tell.
		f.sub.halt(p, HaltTruncated, fmt.Errorf("the log was cut: epoch %d ends at offset %d, we have read up to %d",
			rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset, asked), now)
	case err == nil:
		d := f.decoder.decode(rp, asked)
		p.fill(d)
		if d.err != nil {
			f.damaged(p, d.err, now)
			return
		}
		p.well(rp.HighWatermark, rp.LastStableOffset)
	case errors.Is(err, kerr.OffsetOutOfRange):
		f.outOfRange(ctx, p, asked, now)
	case errors.Is(err, kerr.CorruptMessage):
		f.damaged(p, err, now)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		f.sub.halt(p, HaltDenied, errors.New("the broker lets this user not read the topic: grant it READ and DESCRIBE"), now)
	default:
		// Leader moved, epochs, topic ids and missing topics: the subscription asks for metadata and decides. Storage errors
		// and time-outs of the broker only need time.
		p.ail(now, err)
		f.sub.kick()
	}
}

// damaged retries a batch once, another replica or a second read may have it whole, and then stands still.
func (f *fetcher) damaged(p *partition, err error, now time.Time) {
	p.mu.Lock()
	again := !p.suspect
	p.suspect = true
	p.mu.Unlock()
	if again {
		p.ail(now, err)
		return
	}
	f.sub.halt(p, HaltCorrupt, err, now)
}

// outOfRange tells at which end we are outside, and by how much.
func (f *fetcher) outOfRange(ctx context.Context, p *partition, asked int64, now time.Time) {
	p.mu.Lock()
	at := p.at
	p.mu.Unlock()
	first, err := f.sub.client.offset(ctx, p.Topic, at, earliest)
	if err == nil && asked < first {
		f.sub.halt(p, HaltDataLost, fmt.Errorf("records %d to %d, %d in number, were removed from the log before they were read",
			asked, first-1, first-asked), now)
		return
	}
	var end int64
	if err == nil {
		end, err = f.sub.client.offset(ctx, p.Topic, at, latest)
	}
	switch {
	case err == nil && asked > end:
		f.sub.halt(p, HaltTruncated, fmt.Errorf("the log ends at offset %d, we have read up to %d: it was cut or replaced", end, asked), now)
	case err == nil:
		p.ail(now, event.Errorf(event.Retryable, "broker", "", "offset %d was out of range a moment ago", asked))
	default:
		p.ail(now, err)
	}
}
