package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins/proto"
)

// The handshake: who starts a plugin says so in its environment, so that nobody runs one by mistake.
const (
	cookieName  = "ONEFOLD_PLUGIN"
	cookieValue = "onefold.adapter.v1"
	protocol    = 1 // version of the protocol; a host speaks the newest and the one before, of which there is none yet
	serviceName = "adapter"
)

// Features that a description names.
const (
	featureMap  = "map"
	featurePush = "push"
)

func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{MagicCookieKey: cookieName, MagicCookieValue: cookieValue}
}

// process is one life of a plugin.
type process struct {
	dir    string // of its socket
	child  *child
	client *plugin.Client
	rpc    proto.AdapterClient
	about  *proto.DescribeResponse
}

// start checks the file, runs it in an empty environment and a process group of its own, and has it describe and configure
// itself, all within Limits.Start.
func start(ctx context.Context, c Config) (_ *process, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	command, err := filepath.Abs(c.Command)
	if err != nil {
		return nil, event.Errorf(event.Permanent, "plugin", "command", "the file cannot be found: %w", err)
	}
	stderr := c.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	dir, err := os.MkdirTemp("", "onefold-")
	if err != nil {
		return nil, event.Errorf(event.Retryable, "plugin", "", "there is no folder for its socket: %w", pathless(err))
	}
	p := &process{dir: dir, child: &child{path: command, args: c.Args, exited: make(chan struct{})}}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{protocol: {serviceName: &service{}}},
		RunnerFunc:       p.child.prepare,
		SkipHostEnv:      true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:     c.Limits.Start,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: dir},
		Logger:           hclog.NewNullLogger(),
		Stderr:           stderr, SyncStderr: stderr,
	})
	ctx, cancel := context.WithTimeout(ctx, c.Limits.Start)
	defer cancel()
	stop := context.AfterFunc(ctx, p.child.kill)
	defer stop()
	defer func() {
		if err != nil {
			p.end()
		}
	}()
	client, err := p.client.Client()
	if err != nil {
		return nil, p.failed(ctx, "it does not start as a plugin does: it must print the line of the handshake", err)
	}
	dispensed, err := client.Dispense(serviceName)
	if err != nil {
		return nil, p.failed(ctx, "it is no adapter", err)
	}
	p.rpc = dispensed.(proto.AdapterClient) //nolint:forcetypeassert // service.GRPCClient answers one
	return p, p.introduce(ctx, c)
}

// introduce has the process say what it is and tells it what it is to do.
func (p *process) introduce(ctx context.Context, c Config) (err error) {
	if p.about, err = p.rpc.Describe(ctx, &proto.DescribeRequest{}); err != nil {
		return p.failed(ctx, "it does not answer Describe", err)
	}
	if c.feature != "" && !slices.Contains(p.about.GetFeatures(), c.feature) {
		kind := map[string]string{featureMap: "source", featurePush: "target"}[c.feature]
		return event.Errorf(event.Permanent, "plugin", "", "its description does not name the feature %q: it is no %s", c.feature, kind)
	}
	configured, err := p.rpc.Configure(ctx, &proto.ConfigureRequest{Source: c.Source, Settings: c.Settings})
	if err != nil {
		return p.failed(ctx, "it does not answer Configure", err)
	}
	if e := configured.GetError(); e != nil {
		return event.Errorf(event.Permanent, "plugin", "settings", "it refuses its settings: %s", sentence(e))
	}
	return nil
}

// failed makes a sentence of what went wrong while the process started. What the process itself wrote is not in it
// (invariant 9).
func (p *process) failed(ctx context.Context, what string, err error) error {
	t := time.NewTimer(lastMoment)
	defer t.Stop()
	select {
	case <-p.child.exited:
		if how, itself := p.child.itself(); itself {
			what = "it ended while it started: " + how
		}
	case <-t.C:
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		what = "it is not up in time"
	}
	return &event.Error{Class: event.Retryable, Reason: "plugin", Text: what, Err: err}
}

// drain tells the process that nothing more comes, and lets it end by itself.
func (p *process) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainGrace)
	defer cancel()
	if _, err := p.rpc.Drain(ctx, &proto.DrainRequest{}); err != nil {
		return // it is ended the hard way then
	}
	p.child.ask()
	t := time.NewTimer(drainGrace)
	defer t.Stop()
	select {
	case <-p.child.exited:
	case <-t.C:
	}
}

// end ends the process and all that it started, and gives everything back.
func (p *process) end() {
	p.child.kill()
	p.client.Kill()
	_ = os.RemoveAll(p.dir) // what is left in a folder for temporary files does no harm
}

// child is the process as go-plugin sees it.
type child struct {
	path string
	args []string

	cmd            *exec.Cmd
	stdout, stderr io.ReadCloser
	stdin          io.WriteCloser // closed by our end, however we end: so the process knows
	exited         chan struct{}

	mu     sync.Mutex
	pid    int    // 0 before it has one
	killed bool   // by us
	left   bool   // it has ended by exiting, not by a signal
	state  string // how it ended
	why    string // why we ended it
}

// prepare takes over from go-plugin, which has put into spec what the environment must hold.
func (c *child) prepare(_ hclog.Logger, spec *exec.Cmd, _ string) (runner.Runner, error) {
	c.cmd = exec.CommandContext(context.Background(), c.path, c.args...) // kill is ours, for the whole group
	c.cmd.Env = spec.Env
	c.cmd.Dir = filepath.Dir(c.path)
	own(c.cmd)
	var errs [3]error
	c.stdin, errs[0] = c.cmd.StdinPipe()
	c.stdout, errs[1] = c.cmd.StdoutPipe()
	c.stderr, errs[2] = c.cmd.StderrPipe()
	return c, errors.Join(errs[:]...)
}

// Start starts the process.
func (c *child) Start(context.Context) error {
	err := c.cmd.Start()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.state = "it cannot be run: " + pathless(err).Error()
		close(c.exited)
		return fmt.Errorf("plugin: %w", err)
	}
	c.pid = c.cmd.Process.Pid
	if c.killed {
		killGroup(c.pid)
	}
	go c.await()
	return nil
}

// await waits for the end of the process and then ends what it has started: they would hold its pipes.
func (c *child) await() {
	state, err := c.cmd.Process.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	killGroup(c.pid)
	if err != nil {
		c.state = err.Error()
	} else {
		c.state, c.left = state.String(), state.Exited()
	}
	close(c.exited)
}

// Wait waits for the end of the process. go-plugin has read the pipes to their end by then.
func (c *child) Wait(context.Context) error {
	<-c.exited
	_ = errors.Join(c.stdin.Close(), c.stdout.Close(), c.stderr.Close()) // closed twice is closed
	return nil
}

// Kill ends the process and all that it started.
func (c *child) Kill(context.Context) error {
	c.kill()
	return nil
}

func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	if c.pid != 0 && !c.gone() {
		killGroup(c.pid)
	}
}

// endFor ends the process for a reason that is told.
func (c *child) endFor(why string) {
	c.mu.Lock()
	if c.why == "" {
		c.why = why
	}
	c.mu.Unlock()
	c.kill()
}

// ask asks the process to end.
func (c *child) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone() {
		_ = c.stdin.Close()
		askGroup(c.pid)
	}
}

func (c *child) gone() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// how says how the process ended.
func (c *child) how() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != "" {
		return c.why
	}
	return c.state
}

// itself says how the process ended, and whether it did so without us.
func (c *child) itself() (how string, itself bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, !c.killed || c.left
}

// watch ends a process that uses more memory than it may, until the process is gone.
func (c *child) watch(limit int64) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.exited:
			return
		}
		if used := memory(c.pid); used > limit {
			c.endFor(fmt.Sprintf("it uses %d MiB of memory, over its limit of %d", used>>20, limit>>20))
		}
	}
}

// memory answers the bytes that a process has in use, 0 where the system does not tell.
func memory(pid int) int64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0
	}
	numbers := strings.Fields(string(text))
	if len(numbers) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(numbers[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Diagnose has nothing to add.
func (c *child) Diagnose(context.Context) string { return "" }

// Stdout is where the line of the handshake comes from.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr is what the process has to say.
func (c *child) Stderr() io.ReadCloser { return c.stderr }

// Name is the file's.
func (c *child) Name() string { return c.path }

// ID is the process's, empty before it has one.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return ""
	}
	return strconv.Itoa(c.pid)
}

// PluginToHost leaves addresses as they are: both sides see the same files.
func (*child) PluginToHost(network, address string) (hostNetwork, hostAddress string, err error) {
	return network, address, nil
}

// HostToPlugin leaves addresses as they are.
func (*child) HostToPlugin(network, address string) (pluginNetwork, pluginAddress string, err error) {
	return network, address, nil
}

// service ties the protocol to go-plugin, on both sides.
type service struct {
	plugin.NetRPCUnsupportedPlugin
	server proto.AdapterServer // on the plugin's side
}

// GRPCServer registers the adapter.
func (s *service) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	proto.RegisterAdapterServer(g, s.server)
	return nil
}

// GRPCClient answers a proto.AdapterClient.
func (*service) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return proto.NewAdapterClient(conn), nil
}
