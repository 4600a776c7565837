package itest

import (
	"flag"
	"slices"
	"testing"
	"time"
)

var webRTCRounds = flag.Int("webrtc.rounds", 1, "how often peers that have WebRTC meet in each way")

// TestWebRTC has one of our peers and one of the npm package meet that nobody can dial.
func TestWebRTC(t *testing.T) {
	needNPM(t)
	for _, m := range WebRTCMeetings() {
		t.Run(m.Name, func(t *testing.T) {
			var all []time.Duration
			for range *webRTCRounds {
				took, err := m.Play(testContext(t))
				must(t, err)
				all = append(all, took)
			}
			slices.Sort(all)
			t.Logf("%d times: p50 %v, max %v", len(all), all[(len(all)-1)/2].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
		})
	}
}
