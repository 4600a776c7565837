#!/usr/bin/env bash
# What a WebRTC close still delivers differs: everything, one message, nothing.
#
# Expected: messages that send() took are delivered before a channel closes. The
#   W3C text says so for a data channel: pending messages go out first.
# Seen, with ten small messages sent and then a close at once:
#   @roamhq/wrtc 0.10.0 (libwebrtc) delivers ten after either close.
#   pion/webrtc 4.1.2 delivers ten after the channel's close, and none after the
#   connection's close, since its writer is a goroutine of its own.
#   werift 0.25.2 delivers one after either close. A send() on its closed channel
#   throws nothing, where the W3C text asks for an InvalidStateError.
# Matters: a peer that says goodbye, or hands over its last messages, and then
#   closes is heard by some peers only. Wait for an answer, or until
#   bufferedAmount is 0 and a little longer, before the close.
#
# Output on 2026-11-28, go1.26.8, node v20.20.2:
#   wrtc: channel close 10 of 10, connection close 10 of 10, send after it throws
#   werift: channel close 1 of 10, connection close 1 of 10, send after it throws nothing
#   pion: channel close 10 of 10, connection close 0 of 10, send after it returns an error
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.cjs <<'JS'
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function pair (RTCPeerConnection) {
  const [a, b] = [0, 1].map(() => new RTCPeerConnection({ iceServers: [] }))
  const relay = (from, to) => {
    from.onicecandidate = ({ candidate }) => candidate && to.addIceCandidate(candidate).catch(() => {})
  }
  relay(a, b)
  relay(b, a)
  const channel = a.createDataChannel('x')
  const opened = new Promise(resolve => { channel.onopen = resolve })
  const remote = new Promise(resolve => { b.ondatachannel = event => resolve(event.channel) })
  await a.setLocalDescription(await a.createOffer())
  await b.setRemoteDescription(a.localDescription)
  await b.setLocalDescription(await b.createAnswer())
  await a.setRemoteDescription(b.localDescription)
  await opened
  return { a, channel, remote: await remote }
}

async function delivered (RTCPeerConnection, close) {
  const { a, channel, remote } = await pair(RTCPeerConnection)
  let count = 0
  remote.onmessage = () => count++
  for (let i = 0; i < 10; i++) channel.send(Buffer.alloc(100))
  close(a, channel)
  await sleep(2000)
  let after = 'throws'
  try {
    channel.send('x')
    after = 'throws nothing'
  } catch {}
  return { count, after }
}

(async () => {
  for (const [name, { RTCPeerConnection }] of [['wrtc', require('@roamhq/wrtc')], ['werift', require('werift')]]) {
    const one = await delivered(RTCPeerConnection, (pc, channel) => channel.close())
    const two = await delivered(RTCPeerConnection, pc => { pc.close() })
    console.log(`${name}: channel close ${one.count} of 10, connection close ${two.count} of 10, send after it ${one.after}`)
  }
  process.exit()
})()
JS
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

func main() {
	one, after := delivered(func(_ *webrtc.PeerConnection, c *webrtc.DataChannel) error { return c.Close() })
	two, _ := delivered(func(a *webrtc.PeerConnection, _ *webrtc.DataChannel) error { return a.Close() })
	then := "returns no error"
	if after != nil {
		then = "returns an error"
	}
	fmt.Printf("pion: channel close %d of 10, connection close %d of 10, send after it %s\n", one, two, then)
}

func delivered(closeIt func(*webrtc.PeerConnection, *webrtc.DataChannel) error) (int32, error) {
	a, b := peer(), peer()
	defer a.Close()
	defer b.Close()
	var count atomic.Int32
	b.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnMessage(func(webrtc.DataChannelMessage) { count.Add(1) })
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

	for range 10 {
		check(c.Send(make([]byte, 100)))
	}
	check(closeIt(a, c))
	time.Sleep(2 * time.Second)
	return count.Load(), c.Send([]byte("x"))
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
wrtc: channel close 10 of 10, connection close 10 of 10, send after it throws
werift: channel close 1 of 10, connection close 1 of 10, send after it throws nothing
pion: channel close 10 of 10, connection close 0 of 10, send after it returns an error
OUT

npm install --silent --no-audit --no-fund --ignore-scripts @roamhq/wrtc@0.10.0 werift@0.25.2
go mod init finding 2>/dev/null
go mod edit -require=github.com/pion/webrtc/v4@v4.1.2
go build -o run .
{ timeout 60 node main.cjs && timeout 60 ./run; } >seen || { cat seen; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: a close delivers otherwise than was found"; exit 1; }
cat seen
echo "as found"
