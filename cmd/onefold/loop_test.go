package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline/kafka"
	"github.com/onefold/onefold/simulation"
	"github.com/onefold/onefold/simulation/crm"
	"github.com/onefold/onefold/store/sqlite"
)

// Edits in the CRM go into the master and come back, and that is all: no write answers a write. In the long form there are 2,000, and
// 10,000 in make soak-doors. That the CRM then holds what the master holds, and that nothing moves any more, the demo itself sees to.
func TestNoPingPong(t *testing.T) {
	edits, events := 600, 600
	switch {
	case os.Getenv("ONEFOLD_TEST_DOORS") != "":
		edits, events = 10_000, 20_000 // who is edited again and again is written over after longer and longer waits
	case os.Getenv(fullKill) != "":
		edits, events = 2_000, 4_000
	}
	out, errs, code := typed(t, "", "demo", "--people", strconv.Itoa(events/4), "--events", strconv.Itoa(events), "--seed", "5",
		"--edits", strconv.Itoa(edits), "--exit", "-o", "json")
	var s Summary
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("%d %v\n%s%s", code, err, out, errs)
	}
	t.Logf("%d contacts, %d edits, %d written, %d echoes", s.Contacts, s.Edits, s.Pushed, s.Echoes)
	if most := 2*s.Edits + 2*int64(events); s.Edits != int64(edits) || s.Pushed > most || s.Echoes == 0 {
		t.Errorf("%d edits, %d written, at most %d are not ping-pong, and %d echoes", s.Edits, s.Pushed, most, s.Echoes)
	}
}

// rough is a service in a process of its own, with a plugin, and a CRM beside it: each of them is killed.
type rough struct {
	*testing.T
	file   string
	in     *installation
	office *office
	close  context.CancelFunc // the CRM's server
	closed chan error
}

// TestKilledDoors kills the plugin, the CRM and the service at random under load. In the end the CRM holds what the master holds. In the
// long form it goes on for 30 seconds, or for as long as ONEFOLD_TEST_DOORS says.
func TestKilledDoors(t *testing.T) {
	long := 5 * time.Second
	if os.Getenv(fullKill) != "" {
		long = 30 * time.Second
	}
	if s := os.Getenv("ONEFOLD_TEST_DOORS"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	o, err := openOffice(t.Context(), "127.0.0.1:0", crm.Config{
		Token: crmToken, Seed: 3, Now: time.Now, Faults: crm.Faults{Errors: 0.02, Cut: 0.02, Partial: 0.01, Again: 0.05},
	}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	r := &rough{T: t, office: o}
	r.open(o.ln)
	defer func() { r.close(); <-r.closed }()
	broker, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := broker.Addr().String()
	broker.Close() // the service takes it, again and again
	r.file = configured(t, dir, fmt.Sprintf("kafka: {listen: '%s'}\nsources:\n"+
		"  shop: {adapter: shopify, topic: shop.webhooks}\n  pos: {adapter: square, topic: pos.events}\n"+
		"  bank: {adapter: iso20022, topic: bank.statements}\n  crm: {adapter: cardbox, topic: crm.webhooks}\n%s"+
		"targets:\n  crm: {adapter: rest, target: cardbox, url: 'http://%s', source: crm, auth: {bearer: %s}}\n",
		address, regexp.MustCompile(`core\.feed`).ReplaceAllString(selfPlugged(t), simulation.CoreTopic), o.address, crmToken))
	r.in = spawn(t, r.file)
	client, err := kafka.NewClient(kafka.Config{Brokers: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	to := kafka.NewPublisher(client, kafka.PublisherOptions{})
	defer to.Close()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	feeding, pause := context.WithCancel(ctx)
	fed, told, edited := make(chan int, 1), make(chan error, 1), make(chan struct{})
	go func() { fed <- pour(feeding, to.Send) }()
	go func() { told <- o.deliver(ctx, insist(to.Send), func(int) {}) }()
	begun := time.Now()
	go func() {
		defer close(edited)
		o.work(feeding, func() int64 { return time.Since(begun).Milliseconds() / 20 })
	}()
	r.havoc(long)
	pause()
	<-edited
	t.Logf("%d messages, %d edits, %+v", <-fed, o.edited.Load(), o.Stats())
	r.calm()
	stop()
	if err := <-told; err != nil {
		t.Error(err)
	}
	r.in.end()
	r.agree(filepath.Join(dir, "data", "onefold.db"))
}

// insist sends until it is sent.
func insist(send sender) sender {
	return func(ctx context.Context, topic string, ms ...*event.Message) error {
		for {
			err := send(ctx, topic, ms...)
			if err == nil || ctx.Err() != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// pour sends a town's messages, some hundred a second, until ctx ends, and answers how many.
func pour(ctx context.Context, send sender) (n int) {
	town := simulation.New(simulation.Config{People: 1500, Events: 200_000, Seed: 9, Core: 0.3})
	pace := newPace(400)
	waiting := map[string][]*event.Message{} // by topic; each keeps its order
	for m := range town.Messages() {
		if pace.wait(ctx) != nil {
			return n
		}
		waiting[m.Topic] = append(waiting[m.Topic], raw(&m))
		if len(waiting[m.Topic]) < 40 {
			continue
		}
		if insist(send)(ctx, m.Topic, waiting[m.Topic]...) != nil {
			return n
		}
		n += len(waiting[m.Topic])
		waiting[m.Topic] = nil
	}
	return n
}

func (r *rough) open(ln net.Listener) {
	ctx, end := context.WithCancel(context.Background())
	r.close, r.closed = end, make(chan error, 1)
	go func(closed chan error) { closed <- r.office.Serve(ctx, ln) }(r.closed)
}

// havoc kills one after the other, each at least once, at random times.
func (r *rough) havoc(long time.Duration) {
	r.Helper()
	dice, kills := rand.New(rand.NewPCG(1, 2)), map[string]int{}
	up := regexp.MustCompile(`"msg":"a plugin is up".*"pid":"(\d+)"`)
	for begun, n := time.Now(), 0; time.Since(begun) < long || n < 3; n++ {
		time.Sleep(time.Duration(300+dice.IntN(1500)) * time.Millisecond)
		what := n
		if n >= 3 {
			what = dice.IntN(3)
		}
		switch what {
		case 0:
			eventually(r.T, patience, "a plugin is up", func() bool { return up.MatchString(r.in.logged.String()) })
			lives := up.FindAllStringSubmatch(r.in.logged.String(), -1)
			pid, err := strconv.Atoi(lives[len(lives)-1][1])
			if err != nil {
				r.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
				kills["plugin"]++
			} else if !errors.Is(err, syscall.ESRCH) { // it has just been killed
				r.Error(err)
			}
		case 1:
			r.close()
			if err := <-r.closed; err != nil {
				r.Error(err)
			}
			time.Sleep(time.Duration(dice.IntN(1000)) * time.Millisecond)
			ln, err := (&net.ListenConfig{}).Listen(r.Context(), "tcp", r.office.address)
			if err != nil {
				r.Fatal(err)
			}
			r.open(ln)
			kills["CRM"]++
		case 2:
			r.in.kill()
			r.in = spawn(r.T, r.file)
			kills["service"]++
		}
	}
	r.Log("killed:", kills)
}

// calm waits until all that was sent has taken effect and has reached the CRM, and nothing is on its way back.
func (r *rough) calm() {
	r.Helper()
	var before int64
	eventually(r.T, 10*time.Minute, "all is calm", func() bool {
		_, left := r.in.progress(r.T)
		var targets []console.TargetStatus
		if err := json.Unmarshal([]byte(r.in.ask(r.T, "target", "list", "-o", "json")), &targets); err != nil || len(targets) != 1 {
			r.Fatal(targets, err)
		}
		calls := r.office.Stats().Calls
		calm := left == 0 && r.office.Waiting() == 0 && targets[0].Waiting == 0 && targets[0].Owed == 0 && calls == before
		before = calls
		time.Sleep(200 * time.Millisecond)
		return calm
	})
}

func (r *rough) agree(file string) {
	r.Helper()
	store, err := sqlite.Open(r.Context(), file)
	if err != nil {
		r.Fatal(err)
	}
	defer store.Close()
	target, _, err := targetFile(crmSystem)
	if err != nil {
		r.Fatal(err)
	}
	contacts := r.office.Contacts()
	differences, err := agree(r.Context(), store, target, contacts, r.Output())
	if err != nil || differences > 0 || len(contacts) < 50 {
		r.Errorf("%d contacts, %d differ from the master: %v", len(contacts), differences, err)
	}
}
