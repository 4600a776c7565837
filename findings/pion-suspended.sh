#!/usr/bin/env bash
# pion/webrtc: after a process was suspended, a peer that died meanwhile seems alive for 5 s more.
#
# Expected: ICE is "disconnected" once nothing has come from the peer for 5 s, the
#   default. A laptop that wakes up after 10 s, of which the peer lived the first 3,
#   should see that at once, or after one unanswered question.
# Seen: the packets of those 3 s wait in the socket. pion/webrtc 4.1.2 (pion/ice
#   4.0.10) takes the time at which it reads them for the time of the last
#   packet. So the state is "connected" for 5 s after the wake-up, at times after a
#   moment of "disconnected".
# Matters: what asks for the state of ICE whether a peer is there sends into nothing
#   for 5 s. Ask for a new answer in place of the state: ResponsesReceived of the
#   selected pair's figures, with a CurrentRoundTripTime shorter than the pause.
#
# Output on 2026-11-29, go1.26.8:
#   the peer has been dead for 7 s when the process wakes up
#   4 s later: connected
#   8 s later: disconnected
set -euo pipefail
dir=$(mktemp -d)
a= b=
cleanup() {
  for pid in $a $b; do kill -9 "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pion/webrtc/v4"
)

// The program is one peer: it writes its description to one file, and reads the other's from another.
func main() {
	mine, theirs := os.Args[1], os.Args[2]
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	check(err)
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		check(os.WriteFile(mine+".state", []byte(s.String()), 0o600))
	})
	if mine == "offer" {
		_, err = pc.CreateDataChannel("x", nil)
		check(err)
		d, err := pc.CreateOffer(nil)
		check(err)
		write(pc, d, mine)
		check(pc.SetRemoteDescription(read(theirs)))
	} else {
		check(pc.SetRemoteDescription(read(theirs)))
		d, err := pc.CreateAnswer(nil)
		check(err)
		write(pc, d, mine)
	}
	time.Sleep(time.Minute)
}

func write(pc *webrtc.PeerConnection, d webrtc.SessionDescription, file string) {
	done := webrtc.GatheringCompletePromise(pc)
	check(pc.SetLocalDescription(d))
	<-done
	b, err := json.Marshal(pc.LocalDescription())
	check(err)
	check(os.WriteFile(file+".part", b, 0o600))
	check(os.Rename(file+".part", file))
}

func read(file string) (d webrtc.SessionDescription) {
	for {
		if b, err := os.ReadFile(file); err == nil {
			check(json.Unmarshal(b, &d))
			return d
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
GO
go mod init example.com/found >/dev/null 2>&1
go get github.com/pion/webrtc/v4@v4.1.2 github.com/pion/ice/v4@v4.0.10 >/dev/null 2>&1
go build -o peer .

./peer offer answer & a=$!
./peer answer offer & b=$!
disown "$a" "$b"
for _ in $(seq 200); do
  [ "$(cat offer.state 2>/dev/null)" = connected ] && [ "$(cat answer.state 2>/dev/null)" = connected ] && break
  sleep 0.1
done
sleep 3

kill -STOP "$a"
sleep 3
kill -9 "$b"
sleep 7
kill -CONT "$a"
{
  echo "the peer has been dead for 7 s when the process wakes up"
  sleep 4
  echo "4 s later: $(cat offer.state)"
  sleep 4
  echo "8 s later: $(cat offer.state)"
} | tee seen
cat >found <<'TEXT'
the peer has been dead for 7 s when the process wakes up
4 s later: connected
8 s later: disconnected
TEXT
if ! diff found seen; then
  echo "changed"
  exit 1
fi
echo "as found"
