package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// aloneEnv is set in a process that has a network of its own.
const aloneEnv = "PEER_RELAY_ITEST_ALONE"

// aloneScript is run in the new network.
const aloneScript = `ip link set lo up && exec "$@"`

// Alone returns a command that runs this program again, with these arguments, in a network
// namespace that has only a loopback interface. WebRTC tries every address of the machine:
// there it has the same ones on every machine, and reaches no host outside.
//
// It returns nil where there is nothing to run: in that process itself, and where the
// machine has no ip and unshare, or does not let us. Browsers and peers then run in the
// network of the machine, where the same flags and options serve (see Chromium).
func Alone(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if os.Getenv(aloneEnv) != "" {
		return nil, nil
	}
	for _, name := range []string{"unshare", "ip"} {
		if _, err := LookTool(name); err != nil {
			return nil, nil
		}
	}
	unshare := []string{"--net"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	if exec.CommandContext(ctx, "unshare", append(unshare, "sh", "-c", aloneScript, "sh", "true")...).Run() != nil {
		return nil, ctx.Err()
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("itest: run in a network of its own: %w", err)
	}
	cmd := exec.CommandContext(ctx, "unshare", append(unshare, append([]string{"sh", "-c", aloneScript, "sh", self}, args...)...)...)
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	// unshare and sh become the program. It is told to end, and not killed at once.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = exitGrace
	return cmd, nil
}
