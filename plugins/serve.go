package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// Configurable is a source or a target that wants to know what the configuration says: its name there, and its settings. An error names the
// setting and how to mend it. It is called once, before the first message or delivery.
type Configurable interface {
	Configure(ctx context.Context, source string, settings map[string]string) error
}

// Serve makes this process the plugin of a source; it is all that main does. It returns when the host has gone.
//
//	func main() { plugins.Serve(acme.New()) }
//
// The source is the same that would run inside Onefold: stateless, safe for concurrent use. Where it is an adapters.Described
// its description is passed on; where it is Configurable it gets its settings. What it panics with stays in this process, and
// the message is refused.
func Serve(source adapters.Source) { serve(&server{source: source}) }

// ServeTarget makes this process the plugin of a target; it is all that main does.
//
//	func main() { plugins.ServeTarget(acme.New()) }
//
// The target is the same that would run inside Onefold, safe for concurrent use; where it is Configurable it gets its settings, where it is
// an io.Closer it is closed when nothing more comes. Of a customer it is told the id, the version and the attributes, each with its
// path and its value. Where a customer does not belong there, by what it renders, the entry is removed. What it panics with
// stays in this process.
func ServeTarget(target adapters.Target) { serve(&server{target: target}) }

func serve(s *server) {
	go func() { // whoever started us holds the other end: when that is gone, so are we
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0) //nolint:forbidigo // Serve is what a plugin's main does
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{protocol: {serviceName: &service{server: s}}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxRequest))...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

// server is the adapter's side of the wire.
type server struct {
	proto.UnimplementedAdapterServer
	source adapters.Source // or
	target adapters.Target
}

// adapter is whichever of the two it is.
func (s *server) adapter() any {
	if s.target != nil {
		return s.target
	}
	return s.source
}

// Describe says what the source says of itself.
func (s *server) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	about := &proto.DescribeResponse{Name: filepath.Base(os.Args[0]), Features: []string{featureMap}}
	if s.target != nil {
		about.Features = []string{featurePush}
	}
	if d, ok := s.adapter().(interface{ Describe() adapters.Description }); ok {
		said := d.Describe()
		about.Name, about.Version, about.Domain, about.Events = said.Name, said.Version, said.Domain, said.Events
	}
	return about, nil
}

// Configure passes the settings on.
func (s *server) Configure(ctx context.Context, in *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	c, ok := s.adapter().(Configurable)
	switch {
	case ok:
		if err := c.Configure(ctx, in.GetSource(), in.GetSettings()); err != nil {
			return &proto.ConfigureResponse{Error: &proto.Error{Class: string(event.Permanent), Reason: "settings", Text: text(err.Error())}}, nil
		}
	case len(in.GetSettings()) > 0:
		return &proto.ConfigureResponse{Error: &proto.Error{
			Class: string(event.Permanent), Reason: "settings", Text: "this adapter has no settings: leave them out",
		}}, nil
	}
	return &proto.ConfigureResponse{}, nil
}

// MapBatch maps each record.
func (s *server) MapBatch(ctx context.Context, in *proto.MapBatchRequest) (*proto.MapBatchResponse, error) {
	if s.source == nil {
		return nil, status.Error(codes.Unimplemented, "this adapter is a target: it does not map")
	}
	out := &proto.MapBatchResponse{Results: make([]*proto.Result, 0, len(in.GetRecords()))}
	for _, r := range in.GetRecords() {
		if err := ctx.Err(); err != nil {
			return nil, status.FromContextError(err).Err()
		}
		changes, err := s.mapOne(ctx, messageOf(r))
		out.Results = append(out.Results, resultOf(r.GetNumber(), changes, err))
	}
	return out, nil
}

// mapOne maps one message. A panic is its own misfortune; what it says may quote the message (invariant 9).
func (s *server) mapOne(ctx context.Context, m *event.Message) (changes []customer.Change, err error) {
	defer func() {
		if recover() != nil {
			changes = nil
			err = event.Errorf(event.Permanent, "internal", "", "the adapter panicked: this is a mistake in it, mend it and replay the message")
		}
	}()
	return s.source.Map(ctx, m)
}

// Health answers: the process lives.
func (*server) Health(context.Context, *proto.HealthRequest) (*proto.HealthResponse, error) {
	return &proto.HealthResponse{}, nil
}

// Drain lets a target close what it holds; a source keeps no state.
func (s *server) Drain(context.Context, *proto.DrainRequest) (*proto.DrainResponse, error) {
	if c, ok := s.adapter().(io.Closer); ok {
		_ = c.Close() // the process ends in a moment, whatever comes of it
	}
	return &proto.DrainResponse{}, nil
}

// Push has the target do deliveries, as many at a time as it takes.
func (s *server) Push(ctx context.Context, in *proto.PushRequest) (*proto.PushResponse, error) {
	if s.target == nil {
		return nil, status.Error(codes.Unimplemented, "this adapter is a source: it does not push")
	}
	out := &proto.PushResponse{}
	var numbers []uint64
	var whole []adapters.Delivery
	for _, d := range in.GetDeliveries() {
		one, err := s.delivery(d)
		if err != nil {
			out.Receipts = append(out.Receipts, &proto.Receipt{Number: d.GetNumber(), Error: errorOf(err)})
			continue
		}
		whole, numbers = append(whole, one), append(numbers, d.GetNumber())
	}
	most := max(1, s.target.Abilities().Batch)
	for first := 0; first < len(whole); first += most {
		part := whole[first:min(first+most, len(whole))]
		for i, r := range s.push(ctx, part) {
			out.Receipts = append(out.Receipts, receiptOf(numbers[first+i], r))
		}
	}
	return out, nil
}

// delivery reads one, and renders it as the target would within Onefold.
func (s *server) delivery(d *proto.Delivery) (adapters.Delivery, error) {
	one := adapters.Delivery{
		ID: d.GetId(), Op: adapters.Op(d.GetOp()), Version: d.GetVersion(), RemoteID: d.GetRemote(), Into: d.GetInto(), Erased: d.GetErased(),
	}
	if err := one.Customer.UnmarshalText([]byte(d.GetKey())); err != nil {
		return one, event.Errorf(event.Permanent, "internal", "key", "this is no id of a customer")
	}
	switch one.Op {
	case adapters.Upsert:
		var c customer.Customer
		if err := json.Unmarshal(d.GetCustomer(), &c); err != nil || c.ID != one.Customer {
			return one, event.Errorf(event.Permanent, "internal", "customer", "this is not the customer of the delivery")
		}
		c.Version, c.Status = one.Version, customer.Active
		r, err := s.render(&c)
		if err != nil {
			return one, err
		}
		if one.Op = adapters.Remove; r != nil {
			one.Op, one.Body = adapters.Upsert, r.Body
		}
	case adapters.Merge:
		if !s.target.Abilities().Merge {
			one.Op = adapters.Remove
		}
	case adapters.Remove:
	default:
		return one, event.Errorf(event.Permanent, "internal", "op", "there is no operation of that name here: the plugin is older than the host")
	}
	return one, nil
}

// errPanic is all that is told of a panic: what it says may quote a customer (invariant 9). It is tried again: a mended plugin takes it.
func errPanic() error {
	return event.Errorf(event.Retryable, "internal", "", "the adapter panicked: this is a mistake in it, mend it")
}

func (s *server) render(c *customer.Customer) (r *adapters.Rendering, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic()
		}
	}()
	return s.target.Render(c)
}

// push answers a receipt for each delivery. When nothing is known of any of several, each is asked for by itself where the error says
// that it may be the fault of one: a mistake of the adapter, or what would fail for good.
func (s *server) push(ctx context.Context, some []adapters.Delivery) []adapters.Receipt {
	done, err := s.pushed(ctx, some)
	if err == nil {
		return done
	}
	var e *event.Error
	own := !errors.As(err, &e) || e.Reason == "internal" || e.Class == event.Permanent || e.Class == event.Poison
	if own && len(some) > 1 && ctx.Err() == nil {
		done = done[:0]
		for i := range some {
			done = append(done, s.push(ctx, some[i:i+1])...)
		}
		return done
	}
	if e == nil {
		e = event.Errorf(event.Retryable, "internal", "", "the adapter fails with an error that has no class: give it one")
	}
	done = make([]adapters.Receipt, len(some))
	for i := range done {
		done[i].Problem = &adapters.Problem{Error: *e}
	}
	return done
}

// pushed is the target's own Push.
func (s *server) pushed(ctx context.Context, some []adapters.Delivery) (done []adapters.Receipt, err error) {
	defer func() {
		if recover() != nil {
			done, err = nil, errPanic()
		}
	}()
	done, err = s.target.Push(ctx, some)
	if err == nil && len(done) != len(some) {
		return nil, event.Errorf(event.Retryable, "internal", "", "the adapter answers %d receipts for %d deliveries: this is a mistake in it",
			len(done), len(some))
	}
	return done, err
}

// receiptOf writes a receipt.
func receiptOf(number uint64, r adapters.Receipt) *proto.Receipt {
	out := &proto.Receipt{Number: number, Remote: text(r.RemoteID), Version: text(r.RemoteVersion)}
	if p := r.Problem; p != nil {
		out.Error = errorOf(&p.Error)
		out.AfterSeconds = uint32(max(0, min((p.After+time.Second-1)/time.Second, maxAfter/time.Second))) //nolint:gosec // within its bounds
	}
	return out
}
