#!/usr/bin/env bash
# go-libp2p-pubsub's Publish takes a message that it never sends.
#
# Expected: Publish returns an error for a message above the size limit, since
#   the limit is its own (1 MiB by default) and known before the send.
# Seen: go-libp2p-pubsub 0.19.0 returns nil. The router drops the message for
#   every peer and logs it at debug level. The publisher's own subscription
#   still receives it, so an application that shows its own messages by their
#   echo shows it as sent. A message of exactly the limit is dropped too, as
#   its envelope counts.
# Matters: an application with files or long documents loses them without an
#   error on any side. The receiver cannot know that a message is missing.
#
# Output on 2026-11-28, go1.26.8:
#   1000000 bytes: Publish <nil>, publisher received it, peer received it
#   1048576 bytes: Publish <nil>, publisher received it, peer received nothing
#   2000000 bytes: Publish <nil>, publisher received it, peer received nothing
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	a, topic, own := join(ctx)
	b, _, theirs := join(ctx)
	check(a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}))

	// Publish until one message arrives: the mesh is then complete.
	for received(ctx, theirs, 5) == "received nothing" {
		check(ctx.Err())
		check(topic.Publish(ctx, []byte("ready")))
		received(ctx, own, 5)
	}
	for _, size := range []int{1_000_000, 1 << 20, 2_000_000} {
		err := topic.Publish(ctx, make([]byte, size))
		fmt.Printf("%d bytes: Publish %v, publisher %s, peer %s\n",
			size, err, received(ctx, own, size), received(ctx, theirs, size))
	}
}

func join(ctx context.Context) (host.Host, *pubsub.Topic, *pubsub.Subscription) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	check(err)
	ps, err := pubsub.NewGossipSub(ctx, h)
	check(err)
	topic, err := ps.Join("topic")
	check(err)
	sub, err := topic.Subscribe()
	check(err)
	return h, topic, sub
}

// received waits for a message of the given size.
func received(ctx context.Context, sub *pubsub.Subscription, size int) string {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return "received nothing"
		}
		if len(m.Data) == size {
			return "received it"
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >expected <<'OUT'
1000000 bytes: Publish <nil>, publisher received it, peer received it
1048576 bytes: Publish <nil>, publisher received it, peer received nothing
2000000 bytes: Publish <nil>, publisher received it, peer received nothing
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0 -require=github.com/libp2p/go-libp2p-pubsub@v0.19.0
go build -o run .
timeout 90 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: Publish answers otherwise than was found"; exit 1; }
cat seen
echo "as found"
