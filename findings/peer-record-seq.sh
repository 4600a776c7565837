#!/usr/bin/env bash
# A peer's signed record from js-libp2p never replaces one from go-libp2p.
#
# Expected: a peer that moves to another implementation with its key publishes
#   a newer record, with newer addresses, and others take it.
# Seen: both use the time as the sequence number, go-libp2p 0.51.0 in
#   nanoseconds and @libp2p/peer-record 9.0.16 in milliseconds. A record from
#   JavaScript is older by a factor of a million, so the address book ignores
#   it until the old record expires. It returns no error.
# Matters: a node that is rewritten from Go to JavaScript, or runs either with
#   one key, stays known at its old address. The specification only asks for a
#   number that grows.
#
# Output on 2026-11-28, go1.26.8, node v20.20.2:
#   digits of the sequence number: Go 19, JavaScript 13
#   record from Go: accepted true, error <nil>, known at [/ip4/192.0.2.1/tcp/1]
#   later record from JavaScript: accepted false, error <nil>, known at [/ip4/192.0.2.1/tcp/1]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

# Go makes a key and its record, JavaScript signs a later record with that key,
# and Go's address book is offered both.
cat >main.go <<'GO'
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	ma "github.com/multiformats/go-multiaddr"
)

func main() {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	check(err)
	id, err := peer.IDFromPrivateKey(key)
	check(err)
	fromGo := peer.NewPeerRecord()
	fromGo.PeerID = id
	fromGo.Addrs = []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/1")}
	first, err := record.Seal(fromGo, key)
	check(err)

	time.Sleep(10 * time.Millisecond)
	raw, err := crypto.MarshalPrivateKey(key)
	check(err)
	js := exec.Command("node", "seal.mjs", hex.EncodeToString(raw), "/ip4/192.0.2.1/tcp/2")
	js.Stderr = os.Stderr
	out, err := js.Output()
	check(err)
	envelope, err := hex.DecodeString(strings.TrimSpace(string(out)))
	check(err)
	second, fromJS, err := record.ConsumeEnvelope(envelope, peer.PeerRecordEnvelopeDomain)
	check(err)
	fmt.Printf("digits of the sequence number: Go %d, JavaScript %d\n",
		len(fmt.Sprint(fromGo.Seq)), len(fmt.Sprint(fromJS.(*peer.PeerRecord).Seq)))

	store, err := pstoremem.NewPeerstore()
	check(err)
	book, _ := peerstore.GetCertifiedAddrBook(store)
	accepted, err := book.ConsumePeerRecord(first, time.Hour)
	fmt.Printf("record from Go: accepted %v, error %v, known at %v\n", accepted, err, store.Addrs(id))
	accepted, err = book.ConsumePeerRecord(second, time.Hour)
	fmt.Printf("later record from JavaScript: accepted %v, error %v, known at %v\n", accepted, err, store.Addrs(id))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
cat >seal.mjs <<'JS'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'

const [key, addr] = process.argv.slice(2)
const privateKey = privateKeyFromProtobuf(Buffer.from(key, 'hex'))
const record = new PeerRecord({ peerId: peerIdFromPrivateKey(privateKey), multiaddrs: [multiaddr(addr)] })
const envelope = await RecordEnvelope.seal(record, privateKey)
console.log(Buffer.from(envelope.marshal()).toString('hex'))
JS
cat >expected <<'OUT'
digits of the sequence number: Go 19, JavaScript 13
record from Go: accepted true, error <nil>, known at [/ip4/192.0.2.1/tcp/1]
later record from JavaScript: accepted false, error <nil>, known at [/ip4/192.0.2.1/tcp/1]
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0
go build -o run .
npm install --silent --no-audit --no-fund --ignore-scripts @libp2p/peer-record@9.0.16 \
	@libp2p/crypto@5.1.23 @libp2p/peer-id@6.0.15 @multiformats/multiaddr@13.0.3
timeout 60 ./run >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the records fare otherwise than was found"; exit 1; }
cat seen
echo "as found"
