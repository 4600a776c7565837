package plays

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
)

func TestLoad(t *testing.T) {
	harness.NeedNPM(t)
	for _, crowd := range []struct{ clients, messages, bucket int }{
		{100, 1000, AnyBucket},
		{40, 400, 0},   // twice as many as a JS peer has room for
		{40, 400, 100}, //
	} {
		t.Run(fmt.Sprintf("%d clients in bucket %d", crowd.clients, crowd.bucket), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			got, err := Load(harness.Context(t), harness.Binary(t), LoadSpec{Clients: crowd.clients, Messages: crowd.messages,
				Window: 64, Processes: 1, Seed: seed, Bucket: crowd.bucket})
			harness.Must(t, err)
			if got.Duplicates != 0 || len(got.Drops) != 0 || got.Counters["forwarded"] != uint64(crowd.messages) {
				t.Errorf("%d duplicates, drops %v, counters %v", got.Duplicates, got.Drops, got.Counters)
			}
			if got.Receivers < crowd.clients*8/10 {
				t.Errorf("%d clients received anything", got.Receivers)
			}
		})
	}
}
