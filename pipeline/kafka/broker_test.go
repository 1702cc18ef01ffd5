package kafka_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/onefold/onefold/pipeline/kafka"
)

const (
	childDir    = "ONEFOLD_TEST_CHILD_DIR"
	childListen = "ONEFOLD_TEST_CHILD_LISTEN"
)

// runChild is the process that TestKill kills: it runs a broker, writes to it and prints each acknowledged number.
func runChild(dir, listen string) {
	b, err := kafka.StartBroker(context.Background(), kafka.BrokerConfig{Listen: listen, Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{b.Addr()}})
	if err == nil {
		err = c.EnsureTopic(context.Background(), "kill", 1, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p := kafka.NewPublisher(c, kafka.PublisherOptions{})
	for i := 0; ; i++ {
		if err := p.Publish("kill", message.NewMessage(fmt.Sprint(i), []byte(fmt.Sprint(i)))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(i)
		time.Sleep(time.Millisecond)
	}
}
