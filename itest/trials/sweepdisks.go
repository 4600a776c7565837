package trials

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// diskSituations are those of disks that are full, cannot be written or lost what was written.
func diskSituations() []Situation {
	var all situationList
	// mounted runs a script on a host of its own. It has a disk of 64 KiB at $D, our binary at $B,
	// and ends with an echo of what was seen.
	mounted := func(ctx context.Context, s *site, script string) (string, error) {
		h, err := s.lan.Host(ctx, "10.77.0.9/24")
		if err != nil {
			return "", err
		}
		disk := filepath.Join(s.dir, "disk")
		if err := os.Mkdir(disk, 0o700); err != nil {
			return "", err
		}
		// Each command has a mount namespace of its own, so that the disk ends with it.
		cmd := h.Command("sh", "-c", `mount -t tmpfs -o size=64k,mode=700 none "$D" || exit 99; `+script)
		cmd.Env = append(os.Environ(), "D="+disk, "B="+s.binary)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		status, text, err := run(ctx, cmd, &out)
		if err == nil && status != 0 {
			err = fmt.Errorf("the script ended with %d", status)
		}
		return text, err
	}
	const fill = `dd if=/dev/zero of="$D/fill" bs=1k 2>/dev/null; `

	all.quick("--key on a full disk, which later has room", "status 2, an error that names the file and the cause, no broken file left: then it starts", func(ctx context.Context, s *site) (string, error) {
		text, err := mounted(ctx, s, fill+`timeout 10 "$B" --key "$D/key" none >"$D/../out" 2>&1; echo "status $?"; cat "$D/../out"; rm "$D/fill"
			"$B" --key "$D/key" none >"$D/out" & p=$!
			until grep -q ^id "$D/out" || ! kill -0 $p; do sleep 0.05; done
			kill $p; wait $p; echo "then $?"`)
		return text, wants(err, text, "status 2", "/key", "no space left", "then 0")
	})
	all.quick("--key in a folder that may not be written", "status 2, an error that names the file and the cause", func(ctx context.Context, s *site) (string, error) {
		text, err := mounted(ctx, s, `mount -o remount,ro "$D" && timeout 10 "$B" --key "$D/key" none 2>&1; echo "status $?"`)
		return text, wants(err, text, "status 2", "/key", "read-only")
	})
	all.quick("--key in a folder that does not exist", "status 2, an error that names the file", func(ctx context.Context, s *site) (string, error) {
		text, err := mounted(ctx, s, `timeout 10 "$B" --key "$D/no/key" none 2>&1; echo "status $?"`)
		return text, wants(err, text, "status 2", "/no/key", "no such file")
	})
	all.quick("--key with an empty file, as a power cut leaves it", "status 2, an error that names the file and what to do", func(ctx context.Context, s *site) (string, error) {
		text, err := mounted(ctx, s, `: >"$D/key"; chmod 600 "$D/key"; timeout 10 "$B" --key "$D/key" none 2>&1; echo "status $?"`)
		return text, wants(err, text, "status 2", "/key", "new identity")
	})

	// full runs a relay whose output and errors go to a full disk, and has peers use it.
	full := func(redirect string) func(ctx context.Context, s *site) (string, error) {
		return func(ctx context.Context, s *site) (string, error) {
			at, err := s.lan.Host(ctx, relayIP+"/24")
			if err != nil {
				return "", err
			}
			cmd := at.Command("sh", "-c", `mount -t tmpfs -o size=64k none "$D" || exit 99; `+fill+`exec "$B" --verbose --no-webrtc 8001 `+redirect)
			cmd.Env = append(os.Environ(), "D="+s.dir, "B="+s.binary)
			relay, err := peers.StartProcess("relay", cmd, func([]byte) {}, func(error) {})
			if err != nil {
				return "", err
			}
			defer relay.Kill()
			var two []*peers.GoPeer
			for i := range 2 {
				h, err := s.lan.Host(ctx, fmt.Sprintf("10.77.0.%d/24", i+2))
				if err != nil {
					return "", err
				}
				p, err := s.start(ctx, h, fmt.Sprint("peer", i), false, []string{relayURL}, "--no-webrtc")
				if err != nil {
					return "", err
				}
				two = append(two, p)
			}
			took, err := meet(ctx, two[0], two[1], startTime)
			if err != nil {
				return "", err
			}
			arrived, err := deliver(ctx, two[0], two[1], 100, 1000, 10*time.Millisecond, 5*time.Second)
			if err == nil && arrived < 100 {
				err = errors.New("not all arrived")
			}
			begun := time.Now()
			if stop := relay.Terminate(); stop != nil {
				return "", stop
			}
			ctx, cancel := context.WithTimeout(ctx, 12*time.Second)
			defer cancel()
			err = errors.Join(err, relay.Wait(ctx))
			return fmt.Sprintf("reached %s, %d of 100 arrived, ended %s", after(took), arrived, after(time.Since(begun))), err
		}
	}
	all.quick("output of a relay on a full disk", "it relays, and ends with 0 at SIGTERM", full(`>"$D/out" 2>/dev/null`))
	all.add("log of a relay (--verbose) on a full disk", "it relays, and ends with 0 at SIGTERM", full(`>/dev/null 2>"$D/log"`))
	all.quick("output and log of a relay are closed", "it relays, and ends with 0 at SIGTERM", full(`>&- 2>&-`))
	return all
}

// wants returns an error if a text lacks a part.
func wants(err error, text string, parts ...string) error {
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return fmt.Errorf("no %q in it", part)
		}
	}
	return nil
}
