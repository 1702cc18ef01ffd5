package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onefold/onefold/event"
)

const deniedRetry = time.Minute

// partition is one partition of a subscription: a fetcher fills its queue, its own goroutine hands messages on.
type partition struct {
	event.Partition
	sub     *subscription
	topicID [16]byte
	limits  SubscriberOptions
	out     chan<- *message.Message
	backoff func(int) time.Duration
	filled  chan struct{} // 1: the queue has become longer, or is to be looked at

	mu       sync.Mutex
	at       leader
	near     int32     // a replica that is read rather than the leader, -1 for none
	nearAt   time.Time // since when
	fetcher  *fetcher  // that reads this partition
	next     int64
	epoch    int32 // of the last batch read, -1 where unknown
	high     int64
	stable   int64
	last     time.Time
	queue    []*event.Message
	queued   int64 // bytes
	inFlight int
	halted   string
	err      error
	retryAt  time.Time
	failures int
	suspect  bool // the batch at next failed its checksum once
	peeked   time.Time
	ended    bool
}

// delivery is a message that was handed on.
type delivery struct {
	msg   *event.Message
	frame *message.Message
	done  context.CancelFunc
}

func size(m *event.Message) int64 { return int64(len(m.Key) + len(m.Value)) }

// hungry tells whether the partition wants records by a fetcher now; later, if not zero, is when to ask again, and full that it
// waits for room.
func (p *partition) hungry(f *fetcher, now time.Time) (yes, full bool, later time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.fetcher != f || (p.halted != "" && p.halted != HaltDenied):
		return false, false, time.Time{}
	case now.Before(p.retryAt):
		return false, false, p.retryAt
	case p.sub.paused.Load():
		return p.peek(now)
	case p.full():
		return false, true, time.Time{}
	}
	return true, false, time.Time{}
}

// full tells that as much is queued as half an answer holds; the rest of the answer may still come on top. Where all partitions
// together hold as much as they may, one that has something to hand on waits for the others.
func (p *partition) full() bool {
	return (len(p.queue) > 0 && p.sub.s.crowded()) || p.queued >= int64(p.limits.PartitionBytes)/2 || len(p.queue) >= maxQueued
}

// maxQueued is how many small messages may be queued before no more are asked for.
const maxQueued = 4096

// deliver hands the queue on in offset order, a bounded number of messages and bytes ahead of the oldest that is not
// acknowledged (invariant 10), until ctx ends.
func (p *partition) deliver(ctx context.Context) {
	var flight []delivery // oldest first
	var bytes int64
	var ready delivery
	defer func() {
		ready.cancel()
		for _, d := range flight {
			d.done()
		}
		p.end()
	}()
	for try := 0; ; {
		if ready.frame == nil {
			ready = p.frame(ctx, p.head())
		}
		var out chan<- *message.Message
		var acked, nacked <-chan struct{}
		if ready.frame != nil && !p.sub.paused.Load() &&
			(len(flight) == 0 || len(flight) < p.limits.MaxInFlight && bytes+size(ready.msg) <= p.limits.MaxInFlightBytes) {
			out = p.out
		}
		if len(flight) > 0 {
			acked, nacked = flight[0].frame.Acked(), flight[0].frame.Nacked()
		}
		select {
		case out <- ready.frame:
			flight, bytes = append(flight, ready), bytes+size(ready.msg)
			ready = delivery{}
			p.pop(len(flight))
		case <-acked:
			n := settled(flight)
			for i := range flight[:n] {
				flight[i].done()
				bytes -= size(flight[i].msg)
				flight[i] = delivery{}
			}
			flight, try = flight[n:], 0
			p.flying(len(flight))
		case <-nacked:
			ready.cancel()
			ready = delivery{}
			p.again(flight)
			flight, bytes = nil, 0
			if sleep(ctx, min(p.backoff(try), p.limits.MaxRedelivery)) != nil {
				return
			}
			try++
		case <-p.filled:
		case <-ctx.Done():
			return
		}
	}
}

func (d delivery) cancel() {
	if d.done != nil {
		d.done()
	}
}

// settled counts the acknowledged messages that no other stands before.
func settled(flight []delivery) int {
	for n, d := range flight {
		select {
		case <-d.frame.Acked():
		default:
			return n
		}
	}
	return len(flight)
}

// frame puts a message into the frame of the stream library: the message itself travels in the context, which ends when
// the frame is acknowledged or the subscription is over. Of headers with one name the first is in the metadata.
func (p *partition) frame(ctx context.Context, m *event.Message) delivery {
	if m == nil {
		return delivery{}
	}
	ctx, cancel := context.WithCancel(event.NewContext(ctx, m))
	f := message.NewMessage(m.ID(), m.Value)
	for _, h := range m.Headers {
		if _, ok := f.Metadata[h.Key]; !ok {
			f.Metadata[h.Key] = string(h.Value)
		}
	}
	f.SetContext(ctx)
	return delivery{msg: m, frame: f, done: cancel}
}

func (p *partition) head() *event.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil
	}
	return p.queue[0]
}

// pop takes the head off the queue, which was handed on, and asks for more when there is room again.
func (p *partition) pop(flying int) {
	p.mu.Lock()
	wasFull, n := p.full(), size(p.queue[0])
	p.queued -= n
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.inFlight = flying
	f := p.fetcher
	drained := wasFull && !p.full()
	p.mu.Unlock()
	p.sub.s.queue(-n)
	if drained && f != nil {
		f.wake()
	}
}

func (p *partition) flying(n int) {
	p.mu.Lock()
	p.inFlight = n
	p.mu.Unlock()
}

// again puts what is in flight and not acknowledged back before the queue. The frames that were handed on are void: their
// contexts end, and what becomes of them is not looked at any more.
func (p *partition) again(flight []delivery) {
	var back []*event.Message
	for _, d := range flight {
		select {
		case <-d.frame.Acked():
		default:
			back = append(back, d.msg)
		}
		d.done()
	}
	var n int64
	for _, m := range back {
		n += size(m)
	}
	p.mu.Lock()
	p.queued += n
	p.queue = append(back, p.queue...)
	p.inFlight = 0
	p.mu.Unlock()
	p.sub.s.queue(n)
}

// waits tells that an answer is for another time: what came with it for other partitions was as much as may be, or nothing is wanted.
func (p *partition) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.full() || p.sub.paused.Load()
}

// end lets go of what is queued; nothing more is taken.
func (p *partition) end() {
	p.mu.Lock()
	n := p.queued
	p.queue, p.queued, p.ended = nil, 0, true
	p.mu.Unlock()
	p.sub.s.queue(-n)
}

// fill appends what an answer held, and moves on to where the next begins. An answer to a question that is not ours any more
// is dropped: when a leader moves, two may be asked.
func (p *partition) fill(d decoded) {
	p.mu.Lock()
	if d.asked != p.next || p.ended {
		p.mu.Unlock()
		return
	}
	var n int64
	for _, m := range d.messages {
		n += size(m)
		if !m.Blank {
			p.last = m.Time
		}
	}
	if n := len(p.queue); n > 1 && p.queue[n-1].Blank && len(d.messages) > 0 {
		// What comes says where we stand, and more; where nothing comes the blank one alone says it (invariant 1). The head may be
		// on its way.
		p.queue = p.queue[:n-1]
	}
	p.queue, p.queued = append(p.queue, d.messages...), p.queued+n
	if d.next > p.next {
		p.next, p.suspect = d.next, false
	}
	if d.epoch >= 0 {
		p.epoch = d.epoch
	}
	p.mu.Unlock()
	p.sub.s.queue(n)
	select {
	case p.filled <- struct{}{}:
	default:
	}
}

// well notes a good answer.
func (p *partition) well(high, stable int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.high, p.stable = high, stable
	p.halted, p.err, p.failures = "", nil, 0
}

// ail notes a failure that is tried again after a while, longer each time.
func (p *partition) ail(now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	p.retryAt = now.Add(p.backoff(p.failures))
	p.failures++
}

// halt stops reading, what was read before is still handed on. It answers whether this is news.
func (p *partition) halt(code string, err error, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := p.halted != code
	p.halted, p.err, p.retryAt = code, err, now.Add(deniedRetry)
	return news
}

// nearFor is how long a near replica is read before the leader is asked again which is near.
const nearFor = 5 * time.Minute

// led notes who leads the partition.
func (p *partition) led(by leader, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at != by || now.Sub(p.nearAt) > nearFor {
		p.near = anyNode
	}
	p.at = by
}

// approach notes that the leader names a replica that is near.
func (p *partition) approach(node int32, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.near, p.nearAt = node, now
}

// node answers the broker to read from.
func (p *partition) node() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.near >= 0 {
		return p.near
	}
	return p.at.node
}

// away tells that node is read for being near, and does not lead.
func (p *partition) away(node int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.near == node && p.at.node != node
}

// lost notes that node could not be read; a replica is not tried again for now.
func (p *partition) lost(node int32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; p.near == node {
		p.near = anyNode
	}
}

// move gives the partition to a fetcher, and tells whether that is another one.
func (p *partition) move(to *fetcher) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	other := p.fetcher != to
	p.fetcher = to
	return other
}

// stands answers who leads the partition, what is to be asked for, and the epoch of the last batch read; -1 where unknown.
func (p *partition) stands() (by leader, next int64, epoch int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.next, p.epoch
}

func (p *partition) begin(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = at
}

// crowdedShare is which part of an answer is asked for where all partitions together hold as much as they may: those that
// stand still must not starve the others.
const crowdedShare = 16

// question asks for what comes next.
func (p *partition) question(most int32) kmsg.FetchRequestTopicPartition {
	q := kmsg.NewFetchRequestTopicPartition()
	if p.sub.paused.Load() {
		most = 1
	} else if p.sub.s.crowded() {
		most /= crowdedShare
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q.Partition, q.CurrentLeaderEpoch = p.Partition.Partition, p.at.epoch
	q.FetchOffset, q.LastFetchedEpoch, q.PartitionMaxBytes = p.next, p.epoch, most
	return q
}
