//go:build unix

package port

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/nodetest"
)

// A process that has no file left cannot even accept a connection. Its port answers all the same,
// and goes on as soon as there are files again.
func TestOutOfFiles(t *testing.T) {
	const child = "PEER_RELAY_TEST_FILES"
	if os.Getenv(child) != "" {
		serveWithoutFiles(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOutOfFiles$")
	cmd.Env = append(os.Environ(), child+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log logbook
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	answer := func() string {
		if !lines.Scan() {
			t.Errorf("the child ended: %v\n%s", lines.Err(), log.String())
		}
		return lines.Text()
	}
	url := answer()
	for range 2 {
		fmt.Fprintln(stdin, "take all")
		if got := answer(); got != "taken" {
			t.Fatalf("the child says %q", got)
		}
		for range 3 {
			resp, body := get(t, newClient(nil), url)
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "30" || body != "refused: too many open files\n" {
				t.Errorf("without files the answer is %s, %q", resp.Status, body)
			}
		}
		nodetest.Eventually(t, "a line in the log", func() bool { return strings.Contains(log.String(), "limit=files") })
		fmt.Fprintln(stdin, "free")
		if got := answer(); got != "freed" {
			t.Fatalf("the child says %q", got)
		}
		begun := time.Now()
		if resp, _ := get(t, newClient(nil), url); resp.StatusCode != http.StatusNotFound {
			t.Errorf("with files again the answer is %s", resp.Status)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	stdin.Close()
	if rest, _ := io.ReadAll(stdout); cmd.Wait() != nil {
		t.Errorf("the child failed: %s%s", rest, log.String())
	}
}

// serveWithoutFiles is the child: it has few files, and takes and frees them when it is told.
func serveWithoutFiles(t *testing.T) {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 128, Max: 128}); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	fmt.Println("http://" + h.hostport())
	idle := openFiles(t)
	var taken []*os.File
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "free" {
			for _, f := range taken {
				f.Close()
			}
			taken = nil
			fmt.Println("freed")
			continue
		}
		// Otherwise the connection before leaves its file to the next one.
		nodetest.Eventually(t, "no connection", func() bool { return openFiles(t) <= idle })
		for {
			f, err := os.Open(os.DevNull)
			if errors.Is(err, syscall.EMFILE) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, f)
		}
		fmt.Println("taken")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
