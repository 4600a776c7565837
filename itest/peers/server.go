package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/peer-relay/peer-relay/protocol"
)

// A Server is a relay that runs as an operator starts it: a port on the command line,
// lines for people, a signal to end it.
type Server struct {
	proc *Process

	// URL is the ws:// URL of its port.
	URL string

	// ID and Addrs are what our binary prints; the npm package's server.js prints neither.
	ID    protocol.ID
	Addrs []string // multiaddrs

	// Lines are what it wrote on its standard output.
	Lines *Log[string]
}

// FreePort returns a TCP port that is free at the moment.
func FreePort() (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(Loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("itest: find a port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// StartJSServer runs the npm package's server.js on a port, and returns when it listens.
func StartJSServer(ctx context.Context, port int) (*Server, error) {
	node, err := Node(ctx, leastNode)
	if err != nil {
		return nil, err
	}
	dir, err := Install(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(node, "--no-deprecation", "--require", filepath.Join(dir, "loopback.js"),
		filepath.Join(dir, "node_modules", "peer-relay", "server.js"), strconv.Itoa(port))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=")
	s, err := startServer("server.js", cmd, port)
	if err != nil {
		return nil, err
	}
	err = Until(ctx, "server.js to listen", func() (bool, error) {
		select {
		case <-s.proc.Done():
			return false, s.proc.Close()
		default:
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "ws://"))
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

// StartServer runs our binary as `peer-relay PORT`, and returns when it has printed its
// addresses.
func StartServer(ctx context.Context, binary string, port int) (*Server, error) {
	s, err := startServer("peer-relay", exec.Command(binary, "--host", Loopback, strconv.Itoa(port)), port)
	if err != nil {
		return nil, err
	}
	_, err = s.Lines.Wait(ctx, func(line string) bool {
		name, value, _ := strings.Cut(line, " ")
		switch {
		case name == "id":
			s.ID, err = protocol.ParseID(value)
		case name == "address" && strings.HasPrefix(value, "/"):
			s.Addrs = append(s.Addrs, value)
		}
		return err != nil || len(s.Addrs) > 0
	})
	if err == nil && s.ID == (protocol.ID{}) {
		err = errors.New("itest: peer-relay printed no id")
	}
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

func startServer(name string, cmd *exec.Cmd, port int) (*Server, error) {
	s := &Server{URL: "ws://" + net.JoinHostPort(Loopback, strconv.Itoa(port)), Lines: NewLog[string](name)}
	var err error
	s.proc, err = StartProcess(name, cmd, func(line []byte) { s.Lines.Add(string(line)) }, func(err error) {
		if err == nil {
			err = errors.New("itest: it has ended")
		}
		s.Lines.End(err)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Process returns the process of the server.
func (s *Server) Process() *Process { return s.proc }

// Stop ends our binary as an operator does, by SIGTERM, and returns nil if it then ends
// with status 0.
func (s *Server) Stop() error {
	s.proc.endInput() // from now on its end is asked for
	if err := s.proc.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("itest: stop a server: %w", err)
	}
	return s.proc.Close()
}

// Kill ends the server at once. server.js knows no other end.
func (s *Server) Kill() error { return s.proc.Kill() }
