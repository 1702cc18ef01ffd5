package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// errAbandoned is told to messages that are not finished when the drain is over. It is a cancellation, which the router does
// not log as a failure.
var errAbandoned = fmt.Errorf("left to the next start: %w", context.Canceled)

// await is the outermost stage: it hands the mapped message to the sequencer and lets the handler return, and so the message
// be acknowledged, only when its effect is durable (invariant 1).
func (in *Ingest) await(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		t := ticketOf(msg)
		if t.lane != nil {
			var err error
			if !t.message.Blank {
				_, err = next(msg)
			}
			if err != nil {
				in.seq.abandon(t, err)
			} else {
				in.seq.ready(t)
			}
		}
		return nil, t.wait()
	}
}

// refuse makes a dead letter of what will not pass by itself (invariant 7): the message goes on, and its partition with it.
func (in *Ingest) refuse(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		_, err := next(msg)
		var e *event.Error
		if !errors.As(err, &e) || !final(e.Class) {
			return nil, err
		}
		t := ticketOf(msg)
		t.mapped.Changes = nil
		t.mapped.Refusals = []event.Refusal{{Outcome: event.Dead, Err: e}}
		return nil, nil
	}
}

// final tells the classes of error that no patience mends.
func final(c event.Class) bool { return c == event.Permanent || c == event.Poison }

// retry tries again what may pass by itself, for as long as it takes: the message holds its partition meanwhile, which is
// counted and shown. Only the end of the drain gives up, and leaves the message to the next start.
func (in *Ingest) retry(ctx context.Context) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			for t := ticketOf(msg); ; {
				t.mapped.Attempts++
				_, err := next(msg)
				if err == nil || final(event.ClassOf(err)) {
					if t.mapped.Attempts > 1 {
						in.seq.release(t)
					}
					return nil, err
				}
				if ctx.Err() != nil {
					return nil, errAbandoned
				}
				in.seq.hold(t, err)
				if !in.seq.backoff.wait(ctx, in.seq.draining, t.mapped.Attempts-1) {
					return nil, errAbandoned
				}
			}
		}
	}
}

// limit lets a bounded number of a source's messages be mapped at a time (invariant 10). One that waits for its next try is
// not among them.
func (in *Ingest) limit(ctx context.Context) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			t := ticketOf(msg)
			select {
			case t.inlet.slots <- struct{}{}:
			case <-ctx.Done():
				return nil, errAbandoned
			}
			defer func() { <-t.inlet.slots }()
			return next(msg)
		}
	}
}

// measure times the map stage, each try for itself.
func (in *Ingest) measure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		begin := in.c.Now()
		_, err := next(msg)
		in.metrics.mapping.Observe(since(in.c.Now(), begin))
		return nil, err
	}
}

// recover makes an error of a panic of an adapter. What it panicked with may quote the message, so the text and the log name
// the place only (invariant 9).
func (in *Ingest) recover(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (out []*message.Message, err error) {
		defer func() {
			if recover() == nil {
				return
			}
			err = in.fell(ticketOf(msg).mapped, panicked())
		}()
		return next(msg)
	}
}

// fell tells that an adapter panicked.
func (in *Ingest) fell(m customer.Mapped, place string) error {
	in.log.Error("an adapter panicked, the message is kept as a dead letter", slog.String("source", m.Message.Source),
		slog.String("event", m.Message.ID()), slog.String("adapter", m.Adapter), slog.String("place", place))
	return event.Errorf(event.Permanent, "internal", "",
		"the adapter %s panicked at %s: this is a mistake in the adapter, mend it and replay the message", m.Adapter, place)
}

// panicked names the function and line that panicked; it is called by the function that recovers.
func panicked() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// handle has the message mapped: the innermost stage.
func (in *Ingest) handle(ctx context.Context, msg *message.Message) error {
	t := ticketOf(msg)
	if t.message.Refused != nil {
		t.mapped.Adapter = "" // no adapter has seen it
		return t.message.Refused
	}
	return in.read(ctx, t.inlet.source, &t.mapped)
}

// read has a source's adapter read a message, and seals what it says.
func (in *Ingest) read(ctx context.Context, src *Source, mapped *customer.Mapped) error {
	if size, limit := len(mapped.Message.Value), in.c.Limits.MessageBytes; size > limit {
		return event.Errorf(event.Poison, "too_large", "", "the message has %d bytes, over the limit of %d: split it at the source", size, limit)
	}
	ctx, cancel := context.WithTimeout(ctx, in.c.Limits.MapTimeout)
	defer cancel()
	changes, err := src.Source.Map(ctx, mapped.Message)
	var refused event.Refusals
	if err != nil && !errors.As(err, &refused) {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && !final(event.ClassOf(err)) {
			return event.Errorf(event.Retryable, "timeout", "", "the adapter %s took longer than %s", mapped.Adapter, in.c.Limits.MapTimeout)
		}
		return err
	}
	sealed, unsealed := customer.Seal(changes, mapped.Message, src.Mapping)
	mapped.Changes = sealed
	mapped.Refusals = append(complete(refused), unsealed...)
	return nil
}

// Map reads a message once, outside of the flow, as a delivery of it would be read: the same adapter and limits, and with all others of
// its source no more at a time. What will not pass by itself is a refusal in what it answers; the error is one that may.
func (in *Ingest) Map(ctx context.Context, m *event.Message) (out *customer.Mapped, err error) {
	inlet := in.seq.inlets[m.Source]
	if inlet == nil {
		return nil, event.Errorf(event.Permanent, "source", "", "no source of this name is configured: put it back to have its messages read")
	}
	select {
	case inlet.slots <- struct{}{}:
		defer func() { <-inlet.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	out = &customer.Mapped{Message: m, Adapter: inlet.label, Attempts: 1}
	var e *event.Error
	err = in.guarded(ctx, inlet.source, out)
	if errors.As(err, &e) && final(e.Class) {
		out.Changes, out.Refusals, err = nil, []event.Refusal{{Outcome: event.Dead, Err: e}}, nil
	}
	return out, err
}

func (in *Ingest) guarded(ctx context.Context, src *Source, out *customer.Mapped) (err error) {
	begin := in.c.Now()
	defer func() {
		in.metrics.mapping.Observe(since(in.c.Now(), begin))
		if recover() != nil {
			err = in.fell(*out, panicked())
		}
	}()
	return in.read(ctx, src, out)
}

// Replay takes mapped messages into the master record beside the flow, as its groups are taken: their dead letters go with their effect,
// in one transaction, or stay. It moves no position, and is counted for itself: the messages were received once. Of a dry batch it
// says what it would come to.
func (in *Ingest) Replay(ctx context.Context, b customer.Batch) (*customer.Absorbed, error) {
	out, err := in.seq.take(ctx, b)
	if err != nil || b.Dry {
		return out, err
	}
	for i, r := range out.Results {
		if l := b.Messages[i].Letter; l == nil || b.Messages[i].Attempts <= l.Attempts {
			continue // an edit, which is no attempt
		}
		in.metrics.replayed.WithLabelValues(b.Messages[i].Message.Source, r.Outcome.String()).Inc()
	}
	in.c.Committed()
	return out, nil
}

// complete gives every refusal an error, so that nobody behind has to ask.
func complete(refused event.Refusals) []event.Refusal {
	out := make([]event.Refusal, len(refused))
	for i, r := range refused {
		out[i] = r.Complete()
	}
	return out
}

// say answers an error's text for people if it is one of ours, which hold nothing personal; of others only what they are
// (invariant 9).
func say(err error) string {
	var e *event.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return fmt.Sprintf("an error that has no class (%T): give it one", err)
}

// since measures a duration that is never negative: clocks of other machines differ from ours.
func since(now, then time.Time) float64 { return max(0, now.Sub(then).Seconds()) }
