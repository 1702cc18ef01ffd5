package plugins

import (
	"context"
	"io"
	"os"
	"path/filepath"

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

// Configurable is a Source that wants to know what the configuration says: the settings of the source that it works for. An
// error names the setting and how to mend it. It is called once, before the first message.
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
func Serve(source adapters.Source) {
	go func() { // whoever started us holds the other end: when that is gone, so are we
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0) //nolint:forbidigo // Serve is what a plugin's main does
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{protocol: {serviceName: &service{server: &server{source: source}}}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxRequest))...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

// server is the adapter's side of the wire.
type server struct {
	proto.UnimplementedAdapterServer
	source adapters.Source
}

// Describe says what the source says of itself.
func (s *server) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	about := &proto.DescribeResponse{Name: filepath.Base(os.Args[0]), Features: []string{featureMap}}
	if d, ok := s.source.(adapters.Described); ok {
		said := d.Describe()
		about.Name, about.Version, about.Domain, about.Events = said.Name, said.Version, said.Domain, said.Events
	}
	return about, nil
}

// Configure passes the settings on.
func (s *server) Configure(ctx context.Context, in *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	c, ok := s.source.(Configurable)
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

// Push is refused: a source has nobody to tell.
func (*server) Push(context.Context, *proto.PushRequest) (*proto.PushResponse, error) {
	return nil, status.Error(codes.Unimplemented, "this adapter is a source: it does not push")
}

// Health answers: the process lives.
func (*server) Health(context.Context, *proto.HealthRequest) (*proto.HealthResponse, error) {
	return &proto.HealthResponse{}, nil
}

// Drain has nothing to do: a source keeps no state.
func (*server) Drain(context.Context, *proto.DrainRequest) (*proto.DrainResponse, error) {
	return &proto.DrainResponse{}, nil
}
