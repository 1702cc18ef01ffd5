package pipeline_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/pipeline"
)

// BenchmarkIngest is the whole way of a message but for the broker, the adapter and the store, which cost next to nothing here:
// router, stages, sealing one change, sequencer, counting. One operation is one message. The two runs of each are the same, so
// that their difference shows the noise; subscribing alone is the share of the router and of the fake broker.
func BenchmarkIngest(b *testing.B) {
	for _, partitions := range []int32{1, 4} {
		for _, run := range []string{"A", "A-again"} {
			b.Run("partitions="+strconv.Itoa(int(partitions))+"/"+run, func(b *testing.B) { ingest(b, partitions) })
		}
	}
	for _, run := range []string{"A", "A-again"} {
		b.Run("router-alone/"+run, routerAlone)
	}
}

func ingest(b *testing.B, partitions int32) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
	load(s, partitions, b.N)
	done, left := make(chan struct{}), atomic.Int64{}
	left.Store(int64(b.N))
	noop := absorbFunc(func(_ context.Context, batch customer.Batch) (*customer.Absorbed, error) {
		out := &customer.Absorbed{Results: make([]event.Result, len(batch.Messages))}
		for i := range out.Results {
			out.Results[i].Outcome = event.Applied
		}
		if left.Add(-int64(len(batch.Messages))) == 0 {
			close(done)
		}
		return out, nil
	})
	in := pipeline.NewIngest(s.config, s.broker, noop, nil, nil)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { ended <- in.Run(ctx) }()
	<-done
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if t := in.Totals(); t.Applied != int64(b.N) || t.InFlight() != 0 {
		b.Fatalf("%+v of %d", t, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// routerAlone acknowledges each message at once: what Watermill and the fake broker cost.
func routerAlone(b *testing.B) {
	s := newScene(pipeline.IngestConfig{Sources: []pipeline.Source{shop(plain)}})
	load(s, 1, b.N)
	router, err := message.NewRouter(message.RouterConfig{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	done, left := make(chan struct{}), atomic.Int64{}
	left.Store(int64(b.N))
	router.AddConsumerHandler("shop", "shop.webhooks", s.broker, func(*message.Message) error {
		if left.Add(-1) == 0 {
			close(done)
		}
		return nil
	})
	b.ReportAllocs()
	b.ResetTimer()
	ended := make(chan error)
	go func() { ended <- router.Run(b.Context()) }()
	<-done
	b.StopTimer()
	if err := router.Close(); err != nil {
		b.Fatal(err)
	}
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func load(s *scene, partitions int32, n int) {
	for i := range int64(n) {
		s.broker.put("shop", "shop.webhooks", int32(i)%partitions, i, strconv.FormatInt(i%1000, 10))
	}
}
