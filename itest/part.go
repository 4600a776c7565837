package itest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// partEnv has the part that a process plays which this program started from itself: its
// name, and behind a space its specification, if there is one.
const partEnv = "PEER_RELAY_ITEST_PART"

// The parts that a program plays whose main begins with Play.
const (
	partBulk  = "bulk"
	partFleet = "fleet"
)

// A part is played until standard input ends, on which it is told what to do.
type part func(spec []byte) error

// parts gives those that any program plays. A test adds its own.
func parts() map[string]part {
	return map[string]part{partBulk: playBulk, partFleet: playFleet}
}

// Play plays the part for which this process was started, if it was, and gives its exit
// status. It is for the first line of main, and of a TestMain: bulk runs and fleets start
// their program again.
func Play() (status int, played bool) { return play(parts()) }

func play(all map[string]part) (status int, played bool) {
	text := os.Getenv(partEnv)
	if text == "" {
		return 0, false
	}
	name, spec, _ := strings.Cut(text, " ")
	f := all[name]
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

// selfAs gives a command that runs this program again, to play a part. spec is handed to
// it as JSON text, unless it is nil.
func selfAs(name string, spec any) (*exec.Cmd, error) {
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
	cmd.Env = append(os.Environ(), partEnv+"="+text)
	return cmd, nil
}
