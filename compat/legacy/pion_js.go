package legacy

import (
	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"
)

// In a build for js, pion wraps the browser's WebRTC, whose channels have no deadlines and
// whose addresses cannot be chosen.

func (*WebRTC) newAPI(WebRTCOptions) error { return ErrNoWebRTC }

func closeConn(pc *webrtc.PeerConnection) { pc.Close() }

func detach(*webrtc.DataChannel) (datachannel.ReadWriteCloserDeadliner, error) {
	return nil, ErrNoWebRTC
}

func (*rtcConn) answered() (answers uint64, fresh bool) { return 0, false }

func inFlight(_ *webrtc.PeerConnection, channel *webrtc.DataChannel) uint64 {
	return channel.BufferedAmount()
}
