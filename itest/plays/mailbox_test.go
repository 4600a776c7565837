package plays

import (
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/itest/harness"
)

// offTime is how long a receiver is off. "go run ./itest/accept mailbox" has a longer time.
const offTime = 2 * time.Second

// TestMessagesForAReceiverThatIsOff kills the mailbox meanwhile.
func TestMessagesForAReceiverThatIsOff(t *testing.T) {
	for _, npm := range []bool{false, true} {
		t.Run(map[bool]string{false: "ours", true: "npm"}[npm], func(t *testing.T) {
			o := Offline{Binary: harness.Binary(t), Messages: 100, Off: offTime}
			if npm {
				o.Driver = harness.StartDriver(t)
			}
			report, err := o.Play(harness.InstallContext(t))
			harness.Must(t, err)
			t.Logf("%+v", report)
		})
	}
}

// TestMailboxOnAFullDisk needs a disk that it makes.
func TestMailboxOnAFullDisk(t *testing.T) {
	binary := harness.Binary(t)
	report, err := FullDisk(harness.Context(t), binary)
	harness.Must(t, err)
	t.Logf("%+v", report)
}
