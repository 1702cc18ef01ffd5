package plugins_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
	"github.com/onefold/onefold/plugins/proto"
)

// TestMain makes this test binary be the plugins that the tests start: the environment of a plugin is empty, so arguments say so.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "be" {
		be(os.Args[2], os.Args[3:])
		return
	}
	os.Exit(m.Run())
}

func be(what string, args []string) {
	switch what {
	case "served": // a plugin by Serve
		plugins.Serve(echo{})
	case "target": // a target by ServeTarget
		plugins.ServeTarget(&shelf{folder: args[0]})
	case "rest": // a target that lives within Onefold otherwise
		t, _, err := restTarget(args[0])
		if err != nil {
			panic(err)
		}
		plugins.ServeTarget(t)
	case "loud": // writes much to its standard error, without a line end
		for range 64 {
			fmt.Fprint(os.Stderr, strings.Repeat("of Ana Silva ", 1<<17))
		}
		be("served", nil)
	case "liar":
		raw(&liar{what: args[0]}, "1|1|unix|%s|grpc\n")
	case "raw":
		raw(&odd{features: []string{"map"}}, "1|1|unix|%s|grpc\n")
	case "featureless":
		raw(&odd{}, "1|1|unix|%s|grpc\n")
	case "picky": // refuses its settings
		raw(&odd{features: []string{"map"}, picky: true}, "1|1|unix|%s|grpc\n")
	case "future": // speaks a version that no host knows
		raw(&odd{features: []string{"map"}}, "1|99|unix|%s|grpc\n")
	case "silent": // never says where it listens
		time.Sleep(time.Hour)
	case "chatty": // says something else, and much of it
		for {
			fmt.Print(strings.Repeat("chatter ", 1000))
		}
	case "late": // ends until a file is there
		if _, err := os.Stat(args[0]); err != nil {
			os.Exit(1)
		}
		be("raw", nil)
	case "host": // hosts a plugin by Serve, says its pid, and waits to be killed
		h := plugins.NewHost(plugins.Config{Command: os.Args[0], Args: []string{"be", "served"}, Checksum: args[0]})
		go func() { _ = h.Run(context.Background()) }()
		changes, err := h.Map(context.Background(), message(0, "pid"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(changes[0].Key)
		select {}
	case "nothing":
		time.Sleep(time.Hour)
	}
}

// echo is a Source whose change is keyed by the message's value.
type echo struct{}

func (echo) Map(_ context.Context, m *event.Message) ([]customer.Change, error) {
	switch string(m.Value) {
	case "pid":
		return []customer.Change{{Key: strconv.Itoa(os.Getpid()), Op: customer.Patch}}, nil
	case "panic":
		panic(string(m.Value) + " of Ana Silva")
	case "refused":
		return nil, event.Refusals{{
			Part: "line[1]", Outcome: event.Dead, Err: event.Errorf(event.Poison, "validation", "x", "x"), Keys: []string{"1", "\xff", ""},
		}}
	case "unclassed":
		return nil, fmt.Errorf("who is Ana Silva?")
	}
	return []customer.Change{{Key: string(m.Value), Op: customer.Patch}}, nil
}

// raw is a plugin without our Serve and without go-plugin: what docs/plugins.md and adapter.proto say, done by hand.
func raw(s proto.AdapterServer, line string) {
	if os.Getenv("ONEFOLD_PLUGIN") != "onefold.adapter.v1" {
		os.Exit(9)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	socket := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "raw")
	l, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	g := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	proto.RegisterAdapterServer(g, s)
	fmt.Printf(line, socket)
	_ = g.Serve(l)
}

// odd does what a message's value says.
type odd struct {
	proto.UnimplementedAdapterServer
	features []string
	picky    bool

	mu             sync.Mutex
	records, bytes int // of the largest call
}

func (o *odd) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	return &proto.DescribeResponse{Name: "odd", Version: "0", Features: o.features}, nil
}

func (o *odd) Configure(_ context.Context, in *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	if o.picky {
		return &proto.ConfigureResponse{Error: &proto.Error{Class: "permanent", Reason: "settings", Text: "the setting city is missing"}}, nil
	}
	return &proto.ConfigureResponse{}, nil
}

func (o *odd) Health(context.Context, *proto.HealthRequest) (*proto.HealthResponse, error) {
	return &proto.HealthResponse{}, nil
}

func (o *odd) Drain(context.Context, *proto.DrainRequest) (*proto.DrainResponse, error) {
	return &proto.DrainResponse{}, nil
}

func (o *odd) MapBatch(_ context.Context, in *proto.MapBatchRequest) (*proto.MapBatchResponse, error) {
	o.measure(in)
	out := &proto.MapBatchResponse{}
	for _, r := range in.GetRecords() {
		out.Results = append(out.Results, o.one(r)...)
	}
	return out, nil
}

func (o *odd) measure(in *proto.MapBatchRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes := 0
	for _, r := range in.GetRecords() {
		bytes += len(r.GetValue())
	}
	o.records = max(o.records, len(in.GetRecords()))
	if len(in.GetRecords()) > 1 {
		o.bytes = max(o.bytes, bytes)
	}
}

func (o *odd) one(r *proto.Record) []*proto.Result {
	n := r.GetNumber()
	keyed := func(key string) *proto.Result {
		return &proto.Result{Number: n, Changes: fmt.Appendf(nil, `[{"key":%q,"op":"patch","version":{"source":{"kind":"","value":""}}}]`, key)}
	}
	refused := func(e *proto.Error) *proto.Result { return &proto.Result{Number: n, Error: e} }
	what, _, _ := strings.Cut(string(r.GetValue()), " ")
	switch what {
	case "crash":
		os.Exit(3)
	case "hang":
		select {}
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		time.Sleep(time.Hour)
	case "memory":
		var all [][]byte
		for range 40 { // 1.2 GiB over two seconds, all of it touched
			b := make([]byte, 32<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			time.Sleep(50 * time.Millisecond)
		}
		_ = all
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "huge":
		return []*proto.Result{{Number: n, Changes: make([]byte, 40<<20)}}
	case "garbage":
		return []*proto.Result{{Number: n, Changes: []byte(`[{"key": "Ana Silva"`)}}
	case "member":
		return []*proto.Result{{Number: n, Changes: []byte(`[{"kye": "Ana Silva"}]`)}}
	case "more":
		return []*proto.Result{{Number: n, Changes: []byte(`[] []`)}}
	case "none":
		return nil
	case "twice":
		return []*proto.Result{keyed("a"), keyed("b")}
	case "stray":
		return []*proto.Result{keyed(string(r.GetValue())), {Number: 1 << 40}}
	case "class":
		return []*proto.Result{refused(&proto.Error{Class: "odd", Reason: "r", Text: "t"})}
	case "reason":
		return []*proto.Result{refused(&proto.Error{Class: "poison"})}
	case "both":
		b := keyed("a")
		b.Error = &proto.Error{Class: "poison", Reason: "decode", Text: "no"}
		return []*proto.Result{b}
	case "part":
		return []*proto.Result{{Number: n, Refusals: []*proto.Refusal{{Part: "line[1]"}}}}
	case "novel":
		return []*proto.Result{refused(&proto.Error{Class: "poison", Reason: "decode", Text: strings.Repeat("é\n", 10_000)})}
	case "throttled":
		return []*proto.Result{refused(&proto.Error{Class: "throttled", Reason: "quota", Text: "ask later"})}
	case "pid":
		return []*proto.Result{keyed(strconv.Itoa(os.Getpid()))}
	case "child": // leaves a process behind that holds its pipes
		cmd := exec.Command(os.Args[0], "be", "nothing")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		return []*proto.Result{keyed(strconv.Itoa(cmd.Process.Pid))}
	case "environment":
		return []*proto.Result{keyed(strings.Join(os.Environ(), " "))}
	case "largest":
		o.mu.Lock()
		defer o.mu.Unlock()
		return []*proto.Result{keyed(fmt.Sprintf("%d %d", o.records, o.bytes))}
	}
	return []*proto.Result{keyed(string(r.GetValue()))}
}

func message(offset int64, value string) *event.Message {
	return &event.Message{Source: "test", Topic: "t", Offset: offset, Epoch: -1, Time: time.Unix(1, 5).UTC(), Value: []byte(value)}
}

// quick is limits for tests: what takes seconds elsewhere takes moments here.
func quick() plugins.Limits {
	return plugins.Limits{
		Call: time.Second, HealthEvery: 50 * time.Millisecond, Health: 2 * time.Second, RestartMin: time.Millisecond, RestartMax: 20 * time.Millisecond,
	}
}

// self hosts this test binary as a plugin.
func self(t *testing.T, limits plugins.Limits, args ...string) *plugins.Host {
	t.Helper()
	return hosted(t, plugins.Config{Command: os.Args[0], Args: append([]string{"be"}, args...), Limits: limits})
}

// key maps a message and answers its change's key.
func key(t *testing.T, h *plugins.Host, offset int64, value string) string {
	t.Helper()
	changes, err := h.Map(t.Context(), message(offset, value))
	if err != nil || len(changes) != 1 {
		t.Fatalf("%s: %d changes, %v", value, len(changes), err)
	}
	return changes[0].Key
}

// shelf is a target that keeps a file for each customer.
type shelf struct{ folder string }

func (*shelf) Abilities() adapters.Abilities { return adapters.Abilities{Batch: 2} }

// Render lets those belong here who have a given name.
func (*shelf) Render(c *customer.Customer) (*adapters.Rendering, error) {
	if c.Text("givenName") == "" {
		return nil, nil
	}
	return &adapters.Rendering{Body: []byte(c.Text("givenName"))}, nil
}

func (s *shelf) Push(_ context.Context, deliveries []adapters.Delivery) ([]adapters.Receipt, error) {
	out := make([]adapters.Receipt, len(deliveries))
	if len(deliveries) > 2 {
		return nil, event.Errorf(event.Permanent, "internal", "", "too many at a time")
	}
	for i, d := range deliveries {
		file := filepath.Join(s.folder, d.Customer.String())
		switch string(d.Body) {
		case "Crash":
			os.Exit(3)
		case "Hang":
			time.Sleep(time.Hour)
		case "Panic":
			panic("of Ana Silva")
		case "Few":
			return nil, nil
		case "Classless":
			return nil, errors.New("of Ana Silva")
		case "Long":
			out[i].RemoteID = strings.Repeat("x", 2<<20)
			continue
		case "Refused":
			out[i].Problem = &adapters.Problem{Error: *event.Errorf(event.Permanent, "validation", "name", "no such name"), After: 1500 * time.Millisecond}
			continue
		case "All refused":
			return nil, event.Errorf(event.Permanent, "validation", "name", "no such names")
		case "Locked":
			return nil, event.Errorf(event.Auth, "token", "", "the token has expired: renew it")
		}
		if d.Op != adapters.Upsert {
			_ = os.Remove(file)
			continue
		}
		if err := os.WriteFile(file, append([]byte(d.ID+" "), d.Body...), 0o600); err != nil {
			return nil, err
		}
		out[i] = adapters.Receipt{RemoteID: "file-" + d.Customer.String(), RemoteVersion: fmt.Sprint(d.Version)}
	}
	return out, nil
}

// Close leaves a sign that it was told before its end.
func (s *shelf) Close() error { return os.WriteFile(filepath.Join(s.folder, "closed"), nil, 0o600) }

// liar is a target plugin that answers what it likes.
type liar struct {
	proto.UnimplementedAdapterServer
	what string
}

func (l *liar) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	return &proto.DescribeResponse{Name: "liar", Features: []string{"push"}}, nil
}

func (*liar) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	return &proto.ConfigureResponse{}, nil
}

func (*liar) Health(context.Context, *proto.HealthRequest) (*proto.HealthResponse, error) {
	return &proto.HealthResponse{}, nil
}

func (l *liar) Push(_ context.Context, in *proto.PushRequest) (*proto.PushResponse, error) {
	out := &proto.PushResponse{}
	for _, d := range in.GetDeliveries() {
		out.Receipts = append(out.Receipts, &proto.Receipt{Number: d.GetNumber(), Remote: "r"})
	}
	switch l.what {
	case "more": // success of what it was not given
		out.Receipts = append(out.Receipts, &proto.Receipt{Number: uint64(len(in.GetDeliveries())), Remote: "r"})
	case "huge number":
		out.Receipts = append(out.Receipts, &proto.Receipt{Number: 1 << 63, Remote: "r"})
	case "twice":
		out.Receipts = append(out.Receipts, out.GetReceipts()[0])
	case "fewer":
		out.Receipts = out.GetReceipts()[1:]
	case "both":
		out.Error = &proto.Error{Class: "permanent", Reason: "a", Text: "b"}
	case "no class":
		out = &proto.PushResponse{Error: &proto.Error{Class: "mauve", Reason: "a", Text: "b"}}
	case "no reason":
		out.Receipts[0].Error = &proto.Error{Class: "permanent", Text: "b"}
	case "status":
		return nil, errors.New("of Ana Silva")
	case "for ever":
		out.Receipts[0] = &proto.Receipt{AfterSeconds: 1<<32 - 1, Error: &proto.Error{Class: "throttled", Reason: "a", Text: "b"}}
	}
	return out, nil
}
