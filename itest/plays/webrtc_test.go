package plays

import (
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// TestWebRTC has one of our peers and one of the npm package meet that cannot be dialled.
// accept webrtc repeats it and measures the time.
func TestWebRTC(t *testing.T) {
	harness.NeedNPM(t)
	for _, m := range WebRTCMeetings() {
		t.Run(m.Name, func(t *testing.T) {
			_, err := m.Play(harness.Context(t), harness.Binary(t))
			harness.Must(t, err)
		})
	}
}
