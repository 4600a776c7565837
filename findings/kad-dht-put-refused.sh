#!/usr/bin/env bash
# go-libp2p-kad-dht's PutValue returns nil when no peer kept the record.
#
# Expected: PutValue returns an error when every peer refuses the record, as
#   it does when there is no peer to ask.
# Seen: go-libp2p-kad-dht 0.42.2 logs each refusal at debug level and returns
#   nil. Only the caller's own datastore holds the value, so even its own
#   GetValue finds it.
# Matters: a node that publishes its contact record believes that it can be
#   found. The usual cause is quiet: peers of two versions, with validators that
#   differ. A read by the writer proves nothing either.
#
# Output on 2026-11-28, go1.26.8:
#   without a peer: failed to find any peer in table
#   with three peers that refuse: <nil>
#   read by the writer: found
#   read through the three peers: routing: not found
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
)

const key = "/app/key"

// validator takes every record, or refuses every record.
type validator struct{ refuse bool }

func (v validator) Validate(string, []byte) error {
	if v.refuse {
		return errors.New("refused")
	}
	return nil
}

func (validator) Select(string, [][]byte) (int, error) { return 0, nil }

func node(refuse bool) *dht.IpfsDHT {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	check(err)
	d, err := dht.New(h, dht.ProtocolPrefix("/app"), dht.Mode(dht.ModeServer), dht.Validator(validator{refuse}))
	check(err)
	return d
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	writer := node(false)
	fmt.Println("without a peer:", writer.PutValue(ctx, key, []byte("value")))

	peers := []*dht.IpfsDHT{node(true), node(true), node(true)}
	join(ctx, writer, peers)
	fmt.Println("with three peers that refuse:", writer.PutValue(ctx, key, []byte("value")))

	if _, err := writer.GetValue(ctx, key); err != nil {
		fmt.Println("read by the writer:", err)
	} else {
		fmt.Println("read by the writer: found")
	}

	check(writer.Host().Close())
	reader := node(false)
	join(ctx, reader, peers)
	_, err := reader.GetValue(ctx, key)
	fmt.Println("read through the three peers:", err)
}

// join connects d with the peers and waits until its routing table has them.
func join(ctx context.Context, d *dht.IpfsDHT, peers []*dht.IpfsDHT) {
	for _, p := range peers {
		check(d.Host().Connect(ctx, peer.AddrInfo{ID: p.PeerID(), Addrs: p.Host().Addrs()}))
	}
	for d.RoutingTable().Size() < len(peers) {
		check(ctx.Err())
		time.Sleep(20 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >expected <<'OUT'
without a peer: failed to find any peer in table
with three peers that refuse: <nil>
read by the writer: found
read through the three peers: routing: not found
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0 -require=github.com/libp2p/go-libp2p-kad-dht@v0.42.2
go build -o run .
timeout 90 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: PutValue answers otherwise than was found"; exit 1; }
cat seen
echo "as found"
