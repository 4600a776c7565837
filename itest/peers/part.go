package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// PartEnv is the environment variable with the part that a process plays which this
// program started from itself: its name, and behind a space its specification, if there
// is one.
const PartEnv = "PEER_RELAY_ITEST_PART"

// partFleet is the part that every program plays whose main begins with Play.
const partFleet = "fleet"

// A Part is played until standard input ends, from which it reads its commands.
type Part func(spec []byte) error

// Play plays the part for which this process was started, if it was, and returns its exit
// status. It belongs in the first line of main, and of a TestMain: SelfAs starts the program
// again. more are the parts in addition to a fleet, by name.
func Play(more map[string]Part) (status int, played bool) {
	text := os.Getenv(PartEnv)
	if text == "" {
		return 0, false
	}
	name, spec, _ := strings.Cut(text, " ")
	f := more[name]
	if name == partFleet {
		f = playFleet
	}
	if f == nil {
		fmt.Fprintf(os.Stderr, "itest: this program plays no part %q\n", name)
		return 2, true
	}
	if err := f([]byte(spec)); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1, true
	}
	return 0, true
}

// SelfAs returns a command that runs this program again, to play a part. spec is handed to
// it as JSON text, unless it is nil.
func SelfAs(name string, spec any) (*exec.Cmd, error) {
	text := name
	if spec != nil {
		b, err := json.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("itest: start a %s: %w", name, err)
		}
		text += " " + string(b)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("itest: start a %s: %w", name, err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), PartEnv+"="+text)
	return cmd, nil
}
