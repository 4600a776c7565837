#!/usr/bin/env bash
# pion/webrtc: once the peer closes a data channel, acknowledgements of what was sent no longer count.
#
# Expected: bufferedAmount is what the peer has not acknowledged. It goes to 0 when the
#   acknowledgement comes, and OnBufferedAmountLow tells so. Either side may close a
#   channel at any time; the bytes of the other side are acknowledged after that too.
# Seen: with the peer's close pion/sctp forgets the stream, and the acknowledgements that
#   follow reach it no more. In webrtc 4.1.2 (sctp 1.8.39) the channel's bufferedAmount stays
#   as it is for ever. In 4.2.26 it is 0. In both the event does not come. The number of
#   the whole connection, SCTP().BufferedAmount(), goes to 0 in both. An acknowledgement
#   takes up to 200 ms, so a peer that answers the last message with a close is enough.
# Matters: who waits for the event, or for the 0, before the connection is closed, so that
#   nothing is lost, waits for ever, and takes for lost what has arrived. Ask the
#   connection from time to time, where it has one channel.
#
# Output on 2026-11-29, go1.26.8:
#   4.1.2, the peer keeps the channel: channel 0, connection 0, told
#   4.1.2, the peer closes the channel: channel 4, connection 0, not told
#   4.2.26, the peer keeps the channel: channel 0, connection 0, told
#   4.2.26, the peer closes the channel: channel 0, connection 0, not told
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pion/webrtc/v4"
)

func main() {
	look("keeps", func(*webrtc.DataChannel) {})
	look("closes", func(c *webrtc.DataChannel) { check(c.Close()) })
}

// look prints what a side counts after its last message, to which the peer reacts.
func look(what string, react func(*webrtc.DataChannel)) {
	a, b := peer(), peer()
	defer a.Close()
	defer b.Close()
	b.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnMessage(func(m webrtc.DataChannelMessage) {
			if string(m.Data) == "last" {
				react(c)
			}
		})
	})
	c, err := a.CreateDataChannel("x", nil)
	check(err)
	opened := make(chan struct{})
	c.OnOpen(func() { close(opened) })
	offer, err := a.CreateOffer(nil)
	check(err)
	check(b.SetRemoteDescription(local(a, offer)))
	answer, err := b.CreateAnswer(nil)
	check(err)
	check(a.SetRemoteDescription(local(b, answer)))
	<-opened

	time.Sleep(time.Second) // what opened the channel is acknowledged
	low := make(chan struct{}, 1)
	c.SetBufferedAmountLowThreshold(0)
	c.OnBufferedAmountLow(func() { low <- struct{}{} })
	check(c.SendText("last"))
	time.Sleep(3 * time.Second)
	told := "told"
	if len(low) == 0 {
		told = "not told"
	}
	fmt.Printf("%s, the peer %s the channel: channel %d, connection %d, %s\n", os.Args[1], what, c.BufferedAmount(), a.SCTP().BufferedAmount(), told)
}

// local sets a description and returns it with all candidates.
func local(pc *webrtc.PeerConnection, d webrtc.SessionDescription) webrtc.SessionDescription {
	done := webrtc.GatheringCompletePromise(pc)
	check(pc.SetLocalDescription(d))
	<-done
	return *pc.LocalDescription()
}

func peer() *webrtc.PeerConnection {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	check(err)
	return pc
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO

cat >expected <<'OUT'
4.1.2, the peer keeps the channel: channel 0, connection 0, told
4.1.2, the peer closes the channel: channel 4, connection 0, not told
4.2.26, the peer keeps the channel: channel 0, connection 0, told
4.2.26, the peer closes the channel: channel 0, connection 0, not told
OUT

for version in 4.1.2 4.2.26; do
  printf 'module finding\n\ngo 1.25\n' >go.mod
  rm -f go.sum
  go get "github.com/pion/webrtc/v4@v$version" 2>/dev/null
  go build -o run .
  timeout 60 ./run "$version" >>seen || { cat seen; echo "changed: the run failed"; exit 1; }
done
diff -u expected seen || { echo "changed: acknowledgements count otherwise than was found"; exit 1; }
cat seen
echo "as found"
