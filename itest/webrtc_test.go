package itest

import "testing"

// TestWebRTC has one of our peers and one of the npm package meet that nobody can dial.
// accept webrtc does so again and again, and takes the time.
func TestWebRTC(t *testing.T) {
	needNPM(t)
	for _, m := range WebRTCMeetings() {
		t.Run(m.Name, func(t *testing.T) {
			_, err := m.Play(testContext(t), goBinary(t))
			must(t, err)
		})
	}
}
