package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

// briefWait is the broker's patience while a partition is left out of the request for lack of room: it may drain any moment.
// It doubles with each answer that brings nothing, up to the patience of always.
const briefWait = 10 * time.Millisecond

// fetcher reads what a Subscriber has at one broker: the partitions of all topics in one request, on one connection.
type fetcher struct {
	s        *Subscriber
	node     int32
	woken    chan struct{} // 1
	decoder  decoder
	buf      []byte
	turn     int
	empty    int // answers in a row that brought nothing
	failures int
	told     bool // the failure is in the log

	mu     sync.Mutex
	joined bool               // a partition came that the poll under way does not ask for
	cut    context.CancelFunc // ends the poll under way; nil where none is
}

// wake tells that a partition may be asked for again.
func (f *fetcher) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// join tells that a partition has come, which must not wait for the end of the poll under way.
func (f *fetcher) join() {
	f.mu.Lock()
	if f.joined = true; f.cut != nil {
		f.cut()
	}
	f.mu.Unlock()
	f.wake()
}

// run fetches until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		parts, wait := f.hungry(time.Now())
		if len(parts) == 0 {
			f.rest(ctx, wait)
			continue
		}
		if err := f.fetch(ctx, parts, wait); err != nil && ctx.Err() == nil && !f.interrupted() {
			f.fail(ctx, parts, err)
		}
	}
}

func (f *fetcher) interrupted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joined
}

// hungry answers the partitions to ask for, each time beginning with another, because the broker spends the byte limit in
// their order; and how long to wait, for the broker or, where there is none, here (0: until woken).
func (f *fetcher) hungry(now time.Time) ([]*partition, time.Duration) {
	f.mu.Lock()
	f.joined = false
	f.mu.Unlock()
	var parts []*partition
	wait := f.s.o.MaxWait
	var soonest time.Time
	for _, p := range f.s.all() {
		yes, full, later := p.hungry(f, now)
		if yes {
			parts = append(parts, p)
		}
		if full {
			wait = min(wait, briefWait<<min(f.empty, 10))
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

// place names a partition as an answer does: by the topic's id, by its name where the version has none.
type place struct {
	topic     string
	id        [16]byte
	partition int32
}

type question struct {
	part   *partition
	offset int64
}

// fetch asks once for parts and hands the answers to them. Its error is the connection's.
func (f *fetcher) fetch(ctx context.Context, parts []*partition, wait time.Duration) error {
	parts, err := f.begin(ctx, parts)
	if err != nil || len(parts) == 0 {
		return err
	}
	v, err := f.s.client.version(ctx, f.node, kmsg.Fetch.Int16())
	if err != nil {
		return err
	}
	req, asked := f.request(parts, wait, v)
	got, err := f.poll(ctx, req, wait)
	if err != nil {
		return err
	}
	f.failures, f.told = 0, false
	f.empty++
	for _, t := range got.Topics {
		for i := range t.Partitions {
			rp := &t.Partitions[i]
			q, ok := asked[place{t.Topic, t.TopicID, rp.Partition}]
			switch {
			case !ok:
			case q.part.waits():
				q.part.seen(rp)
			default:
				f.answer(ctx, q.part, q.offset, rp)
			}
		}
	}
	return nil
}

// begin finds the first offset of partitions that were never read, and answers those that can be asked for.
func (f *fetcher) begin(ctx context.Context, parts []*partition) ([]*partition, error) {
	ready := make([]*partition, 0, len(parts))
	for _, p := range parts {
		at, next, _ := p.stands()
		if next < 0 {
			start, err := f.s.client.offset(ctx, p.Topic, at, earliest)
			if code := (*kerr.Error)(nil); errors.As(err, &code) {
				f.refused(ctx, p, next, err, time.Now())
				continue
			}
			if err != nil {
				return nil, err
			}
			p.begin(start)
		}
		ready = append(ready, p)
	}
	return ready, nil
}

// request builds the request: no fetch session, read committed, and both epochs, by which the broker notices that we know an
// old leader and that the log was cut behind our back.
func (f *fetcher) request(parts []*partition, wait time.Duration, version int16) (*kmsg.FetchRequest, map[place]question) {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(version)
	req.MaxWaitMillis = int32(wait.Milliseconds())
	req.MinBytes, req.MaxBytes = 1, f.s.o.RequestBytes
	req.IsolationLevel, req.Rack = 1, f.s.o.Rack
	asked := make(map[place]question, len(parts))
	topics := map[place]int{}
	for _, p := range parts {
		of := place{topic: p.Topic}
		if version >= topicIDs {
			of = place{id: p.topicID}
		}
		at := of
		if at.partition = p.Partition.Partition; asked[at].part != nil {
			continue // two subscriptions of one topic take turns
		}
		i, ok := topics[of]
		if !ok {
			i = len(req.Topics)
			topics[of] = i
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = p.Topic, p.topicID
			req.Topics = append(req.Topics, t)
		}
		rp := p.question(f.s.o.PartitionBytes)
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
		asked[at] = question{p, rp.FetchOffset}
	}
	return req, asked
}

// topicIDs is the version from which on Fetch names a topic by its id.
const topicIDs = 13

// poll sends the request and waits for its answer, or until a partition joins.
func (f *fetcher) poll(ctx context.Context, req *kmsg.FetchRequest, wait time.Duration) (*kmsg.FetchResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+requestTimeout) // a frozen broker is noticed by nothing else
	defer cancel()
	f.mu.Lock()
	if f.cut = cancel; f.joined {
		cancel()
	}
	f.mu.Unlock()
	resp, buf, err := f.s.client.exchange(ctx, f.node, req, f.buf)
	f.mu.Lock()
	f.cut = nil
	f.mu.Unlock()
	if f.buf = buf; cap(buf) > 2*int(f.s.o.RequestBytes) {
		f.buf = nil
	}
	if err != nil {
		return nil, err
	}
	got, ok := resp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch answered a %T", resp)
	}
	return got, kerr.ErrorForCode(got.ErrorCode)
}

// fail handles a lost connection: the first is retried at once, for it may only have been an old one from the pool.
func (f *fetcher) fail(ctx context.Context, parts []*partition, err error) {
	for _, p := range parts {
		p.lost(f.node, err)
		p.sub.kick()
	}
	if f.failures++; f.failures == 1 && stale(err) {
		return
	}
	if !f.told {
		f.told = true
		f.s.o.Log.Warn("cannot read from a broker, trying again", "broker", f.node, "error", err)
	}
	_ = sleep(ctx, f.s.client.backoff(f.failures-1)) // run looks at ctx
}

// answer handles what the broker says of one partition.
func (f *fetcher) answer(ctx context.Context, p *partition, asked int64, rp *kmsg.FetchResponseTopicPartition) {
	now := time.Now()
	err := kerr.ErrorForCode(rp.ErrorCode)
	switch diverges := rp.DivergingEpoch.EndOffset >= 0; {
	case (err != nil || diverges) && p.away(f.node): // its leader knows best
		p.lost(f.node, err)
		f.s.assign(p)
	case err != nil:
		f.refused(ctx, p, asked, err, now)
	case diverges:
		// It may have grown again past our offset since: only the epochs tell.
		p.sub.halt(p, HaltTruncated, fmt.Errorf("the log was cut: epoch %d ends at offset %d, we have read up to %d",
			rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset, asked), now)
	case rp.PreferredReadReplica >= 0 && rp.PreferredReadReplica != f.node:
		p.approach(rp.PreferredReadReplica, now)
		f.s.assign(p)
	default:
		f.decoder.source, f.decoder.topic, f.decoder.topicID = p.Source, p.Topic, idText(p.topicID)
		d := f.decoder.decode(rp, asked)
		if !f.grown(ctx, p, &d, now) {
			return
		}
		if p.fill(d); len(d.messages) > 0 {
			f.empty = 0
		}
		if d.err != nil {
			f.damaged(p, d.err, now)
			return
		}
		p.well(rp.HighWatermark, rp.LastStableOffset)
	}
}

// grown tells whether what was read goes on from what was read before. Where a new leader epoch begins, the log may have been cut
// before and have grown over the place where we stand: then the epoch that we read last ended before it. Apache Kafka looks at
// that itself, the embedded broker does not.
func (f *fetcher) grown(ctx context.Context, p *partition, d *decoded, now time.Time) bool {
	at, _, epoch := p.stands()
	if epoch < 0 || d.begins <= epoch || d.asked == 0 {
		return true
	}
	end, err := f.s.client.epochEnd(ctx, p.Topic, at, epoch)
	early := func() bool { return err == nil && end >= 0 && end < d.asked }
	var start, first int64
	if early() {
		start, err = f.s.client.offset(ctx, p.Topic, at, earliest)
	}
	if early() && end <= start { // nothing of that epoch is left: was it removed for age, or cut?
		first, err = f.s.client.offset(ctx, p.Topic, at, firstRecord)
		end = max(end, first)
	}
	switch {
	case err != nil:
		p.ail(now, err)
		p.sub.kick()
	case early():
		p.sub.halt(p, HaltTruncated, fmt.Errorf("the log was cut at offset %d and has grown again since, we had read up to %d",
			end, d.asked), now)
	default:
		return true
	}
	return false
}

// refused does what each code of an answer asks for.
func (f *fetcher) refused(ctx context.Context, p *partition, asked int64, err error, now time.Time) {
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		f.outOfRange(ctx, p, asked, now)
	case errors.Is(err, kerr.CorruptMessage):
		f.damaged(p, err, now)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		p.sub.halt(p, HaltDenied, errors.New("the broker lets this user not read the topic: grant it READ and DESCRIBE"), now)
	default:
		// Leader moved, epochs, topic ids and missing topics: the subscription asks for metadata and decides. Storage errors
		// and time-outs of the broker only need time.
		p.ail(now, err)
		p.sub.kick()
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
	p.sub.halt(p, HaltCorrupt, err, now)
}

// outOfRange tells at which end we are outside, and by how much.
func (f *fetcher) outOfRange(ctx context.Context, p *partition, asked int64, now time.Time) {
	at, _, _ := p.stands()
	first, err := f.s.client.offset(ctx, p.Topic, at, earliest)
	if err == nil && asked < first {
		p.sub.halt(p, HaltDataLost, fmt.Errorf("records %d to %d, %d in number, were removed from the log before they were read",
			asked, first-1, first-asked), now)
		return
	}
	var end int64
	if err == nil {
		end, err = f.s.client.offset(ctx, p.Topic, at, latest)
	}
	switch {
	case err == nil && asked > end:
		p.sub.halt(p, HaltTruncated, fmt.Errorf("the log ends at offset %d, we have read up to %d: it was cut or replaced", end, asked), now)
	case err == nil:
		p.ail(now, event.Errorf(event.Retryable, "broker", "", "offset %d was out of range a moment ago", asked))
	default:
		p.ail(now, err)
	}
}
