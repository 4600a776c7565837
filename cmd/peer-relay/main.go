package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/peer-relay/peer-relay/node"
)

// Exit statuses.
const (
	exitOK      = 0 // also when a mailbox keeps the message
	exitFailure = 1 // any other failure, such as messages that were not sent
	exitUsage   = 2 // a flag, an argument, a URL, a key file, an id or the data is invalid
	exitInUse   = 3 // another program has the port
	exitNoPeer  = 4 // send, ping, trace: no peer has the id, or none answered in time; send with --keep: no mailbox keeps the message
	exitUnknown = 5 // send: no receipt came in time, so the message may have arrived; ping, trace: no answer
)

const usage = `Usage:
  peer-relay [flags] PORT [BOOTSTRAP…]                  run a relay
  peer-relay listen [flags] --bootstrap URL…            print the received messages
  peer-relay send [flags] --bootstrap URL… ID [DATA|-]  send one message, and await its receipt
  peer-relay ping [flags] --bootstrap URL… ID [-n N]    ask a peer whether it is there
  peer-relay trace [flags] --bootstrap URL… ID          print the peers on the way to a peer
  peer-relay sim [flags] --scenario NAME|all|list       simulate a network, and print its figures
  peer-relay version                                    print the version

PORT is a TCP port that serves legacy peers (ws://), libp2p peers (/ws) and a status
page (http://), and the UDP port of the same number, which serves libp2p peers in pages
(/webrtc-direct). 0 means any free port, and "none" a peer without a port. BOOTSTRAP is a
peer of the network to join: a ws:// or wss:// URL, or a multiaddr that ends in /p2p/….
All are dialled, each until it answers. --dht PREFIX --dht-bootstrap MULTIADDR can replace
--bootstrap.

send waits for a first link, and then for the receipt: for --timeout each, 10 s if it is
not given. It prints how long the message took and over how many relays. With --no-wait it
ends once the message is written, and does not say whether it arrived. With --keep 1h a
mailbox, a relay with --mailbox DIR, keeps the message for that time if the receiver is
offline, and hands it over when they are linked again. Then send prints until when it is
kept, and by which peer.

ping prints a line for each answer, with the round trip, and a summary at the end. trace
prints a line for each peer on the way: its number, its id, the kind of the link by which
it was reached, the round trip to it, and its software. A peer that refuses (--no-trace)
and one of the npm package are shown as the path of the answer has them. Applications get
no pings.

sim needs no network: it runs the router and the overlay of --peers peers in virtual time,
with the defaults of this program. The same flags lead to the same output.

Flags:
%s
Exit status: 0 after SIGINT, SIGTERM or the end of standard input (with --json), when send
has delivered or a mailbox keeps the message, and when a ping or trace was answered; 1 failure,
such as messages that were not sent; 2 an invalid flag, argument, URL, id or key file, or data that is not what --as
says; 3 the port is in use, in TCP or in UDP; 4 send, ping, trace: no peer has the id, or
none answered in time; 5 send: no receipt came in time, so the message may have arrived;
5 ping, trace: no answer came in time. A second signal ends the program at once.
`

// An exitError is an error with its own exit status.
type exitError struct {
	status int
	error
}

func (e exitError) Unwrap() error { return e.error }

func wrongUsage(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signalContext()
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// signalContext returns a context that the first SIGINT or SIGTERM ends. The second signal ends
// the program.
func signalContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the program
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailure)
	}()
	return ctx, cancel
}

// run runs the command in the arguments and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{args: args, stdin: stdin, stdout: newOutput(stdout), stderr: newOutput(stderr)}
	defer p.stderr.close()
	defer p.stdout.close()
	unhook := context.AfterFunc(ctx, p.stdout.finish)
	defer unhook()
	return p.exit(p.run(ctx))
}

// exit prints the error of a run and returns the exit status.
func (p *program) exit(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		p.printUsage(p.stdout)
		return exitOK
	}
	fmt.Fprintln(p.stderr, "peer-relay:", strings.TrimPrefix(err.Error(), "peer-relay: "))
	var status exitError
	switch {
	case errors.As(err, &status):
		if status.status == exitUsage {
			fmt.Fprintln(p.stderr, "peer-relay: try peer-relay --help")
		}
		return status.status
	case errors.Is(err, syscall.EADDRINUSE):
		return exitInUse
	case errors.Is(err, node.ErrOptions):
		return exitUsage
	}
	return exitFailure
}

// A program is one run of the command.
type program struct {
	args           []string
	stdin          io.Reader
	stdout, stderr *output
	flags          flags
}

func (p *program) run(ctx context.Context) error {
	rest, err := p.flags.parse(p.args)
	if err != nil {
		return err
	}
	command := ""
	if len(rest) > 0 {
		command = rest[0]
	}
	if p.flags.version {
		command = "version"
	}
	switch command {
	case "":
		return wrongUsage("want a PORT, or a command")
	case "version":
		return p.printVersion()
	case "help":
		return flag.ErrHelp
	case "send":
		return p.send(ctx, rest[1:])
	case "ping":
		return p.ping(ctx, rest[1:])
	case "trace":
		return p.trace(ctx, rest[1:])
	case "listen":
		return p.listen(ctx, rest[1:])
	case "sim":
		return p.simulate(ctx, rest[1:])
	}
	return p.serve(ctx, rest)
}
