package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/itest/plays"
)

// webRTCMedian is how long linking two peers by WebRTC may take in the median.
const webRTCMedian = time.Second

// webrtc has a peer of ours and an npm peer meet, neither of which can be dialled, n times
// in each way with fresh processes.
func webrtc(ctx context.Context, opts options, r *report) error {
	return withBinary(ctx, func(ctx context.Context, binary string) error {
		var errs []error
		t := r.table("who", "passed", "linked in median", "max")
		for _, m := range plays.WebRTCMeetings() {
			var times series
			for round := 1; round <= opts.n && ctx.Err() == nil; round++ {
				playing, cancel := context.WithTimeout(ctx, playTime)
				took, err := m.Play(playing, binary)
				cancel()
				if err != nil {
					opts.log.Printf("%d/%d %s: FAILED: %v", round, opts.n, m.Name, err)
					errs = append(errs, err)
					continue
				}
				opts.log.Printf("%d/%d %s: %v", round, opts.n, m.Name, took.Round(time.Millisecond))
				times = append(times, took)
			}
			t.row(m.Name, fmt.Sprintf("%d of %d", len(times), opts.n), times.median().Round(time.Millisecond), times.max().Round(time.Millisecond))
			if times.median() > webRTCMedian {
				errs = append(errs, fmt.Errorf("%s: linked in %v in the median, want at most %v", m.Name, times.median(), webRTCMedian))
			}
		}
		return errors.Join(append(errs, ctx.Err())...)
	})
}
