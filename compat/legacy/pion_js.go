package legacy

import (
	"errors"
	"fmt"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"
)

// ErrNoWebRTC means that this build makes no WebRTC links. In a build for js, pion wraps the
// browser's WebRTC, whose channels have no deadlines and whose addresses cannot be chosen.
var ErrNoWebRTC = fmt.Errorf("peer-relay: WebRTC links in a build for js: %w", errors.ErrUnsupported)

func (*WebRTC) newAPI(WebRTCOptions) error { return ErrNoWebRTC }

func closeConn(pc *webrtc.PeerConnection) { pc.Close() }

func detach(*webrtc.DataChannel) (datachannel.ReadWriteCloserDeadliner, error) {
	return nil, ErrNoWebRTC
}
