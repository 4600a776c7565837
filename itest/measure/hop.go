package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A HopSetting is one relay of one kind between two ends of its kind, which have no other
// connection. The ends are written by hand and cost little, so that the relay has no more to do for
// one than for another.
//
//	ends, a process:  sender ── connection ── relay, a process ── connection ── receiver
type HopSetting struct {
	Name  string
	Old   bool // the relay is that of another build
	Lossy bool // the relay drops messages that it cannot pass on in time

	relay hopRelay
	ends  hopEnds
	over  string // the transport of the relay's multiaddr, for libp2p
}

// A hopRelay is who relays.
type hopRelay string

const (
	hopOurs     hopRelay = "ours"
	hopBare     hopRelay = "bare"    // a forwarder on a libp2p host
	hopGorilla  hopRelay = "gorilla" // a forwarder between WebSockets, which writes each message
	hopNPM      hopRelay = "npm"
	hopNATS     hopRelay = "nats"
	hopIronwood hopRelay = "ironwood"
)

// hopEnds is what the ends speak.
type hopEnds string

const (
	hopFrames     hopEnds = "frames" // /peer-relay/1
	hopLines      hopEnds = "lines"  // to a bare forwarder
	hopNode       hopEnds = "node"   // our own ends, which send by Router.Send
	hopJSON       hopEnds = "json"
	hopPubSub     hopEnds = "pubsub"
	hopIronPacket hopEnds = "packets" // played by another program
)

// The settings. HopSettings returns all of them.
var (
	HopNative   = HopSetting{Name: "ours, /ws", relay: hopOurs, ends: hopFrames, over: "ws"}
	HopTCP      = HopSetting{Name: "ours, TCP", relay: hopOurs, ends: hopFrames, over: "tcp"}
	HopBare     = HopSetting{Name: "bare libp2p, /ws", relay: hopBare, ends: hopLines, over: "ws"}
	HopNATS     = HopSetting{Name: "nats-server, TLS", relay: hopNATS, ends: hopPubSub}
	HopIronwood = HopSetting{Name: "ironwood, TCP", relay: hopIronwood, ends: hopIronPacket, Lossy: true}
	HopLegacy   = HopSetting{Name: "ours, JSON", relay: hopOurs, ends: hopJSON}
	HopGorilla  = HopSetting{Name: "gorilla, a write each", relay: hopGorilla, ends: hopJSON}
	HopNPM      = HopSetting{Name: "npm peer-relay", relay: hopNPM, ends: hopJSON}
	HopOwnEnds  = HopSetting{Name: "ours, /ws, own ends", relay: hopOurs, ends: hopNode, over: "ws"}
)

// HopSettings returns the settings, those of another build left out.
func HopSettings() []HopSetting {
	return []HopSetting{HopNative, HopTCP, HopBare, HopNATS, HopIronwood, HopLegacy, HopGorilla, HopNPM, HopOwnEnds}
}

// OtherBuild returns the setting with a relay of another build.
func (s HopSetting) OtherBuild() HopSetting {
	s.Name, s.Old = strings.Replace(s.Name, "ours", "other build", 1), true
	return s
}

// HopPrograms are the files of the programs that the settings need.
type HopPrograms struct {
	Ours  string
	Old   string // of another build
	Other string // itest/programs/hop
}

// BuildHop builds the relays that others wrote into dir, and returns the file. They are a module of
// their own.
func BuildHop(ctx context.Context, dir string) (file string, err error) {
	root, err := peers.Root()
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "hop")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, "./hop")
	cmd.Dir = filepath.Join(root, "itest", "programs")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("itest: build itest/programs/hop: %w\n%s", err, bytes.TrimSpace(out))
	}
	return file, nil
}

// A HopFigure is the cost of one round.
type HopFigure struct {
	Messages int           // that arrived
	Lost     int           // of a lossy relay
	Relay    time.Duration // user and system time of the relay's process, in steps of 10 ms
	Ends     time.Duration // of the ends' process
	Took     time.Duration
}

// A HopStage is a relay and its ends, connected.
type HopStage struct {
	setting HopSetting
	relay   *peers.Process
	ends    *hopProcess
	closers peers.Closers
}

// A hopProcess reports events.
type hopProcess struct {
	*peers.Process
	events chan hopEvent // has room for all of them
}

// Start starts the processes, and returns when the ends are connected. It needs Linux.
func (s HopSetting) Start(ctx context.Context, programs HopPrograms) (*HopStage, error) {
	stage := &HopStage{setting: s}
	if err := stage.start(ctx, programs); err != nil {
		return nil, fmt.Errorf("itest: hop, %s: %w", s.Name, errors.Join(err, stage.Close()))
	}
	return stage, nil
}

func (s *HopStage) start(ctx context.Context, programs HopPrograms) (err error) {
	var addr string
	switch s.setting.relay {
	case hopOurs:
		binary := programs.Ours
		if s.setting.Old {
			binary = programs.Old
		}
		p, err := peers.StartGo(ctx, binary, peers.Spec{Name: "relay", Listen: true})
		if err != nil {
			return err
		}
		s.closers.Add(p.Close)
		s.relay, addr = p.Process(), p.URL()
		if s.setting.over != "" {
			if addr, err = p.AddrOver(s.setting.over); err != nil {
				return err
			}
		}
	case hopNPM:
		d, err := peers.StartDriver(ctx)
		if err != nil {
			return err
		}
		s.closers.Add(d.Close)
		p, err := d.Peer(ctx, peers.NPMSpec{Spec: peers.Spec{Name: "relay", Listen: true}})
		if err != nil {
			return err
		}
		s.relay, addr = d.Process(), p.URL()
	default:
		cmd, err := s.relayCommand(programs)
		if err != nil {
			return err
		}
		relay, ready, err := s.play(ctx, "relay", cmd)
		if err != nil {
			return err
		}
		s.relay, addr = relay.Process, ready.Addr
	}
	cmd, err := peers.SelfAs(partHopEnds, hopPart{Ends: s.setting.ends, Addr: addr})
	if s.setting.ends == hopIronPacket {
		cmd, err = exec.Command(programs.Other, "ironwood-ends", addr), nil
	}
	if err != nil {
		return err
	}
	s.ends, _, err = s.play(ctx, "ends", cmd)
	return err
}

func (s *HopStage) relayCommand(programs HopPrograms) (*exec.Cmd, error) {
	switch s.setting.relay {
	case hopNATS, hopIronwood:
		return exec.Command(programs.Other, string(s.setting.relay)), nil
	default:
		return peers.SelfAs(partHopRelay, hopPart{Relay: s.setting.relay, Over: s.setting.over})
	}
}

// play starts a process and returns when it is ready.
func (s *HopStage) play(ctx context.Context, role string, cmd *exec.Cmd) (*hopProcess, hopEvent, error) {
	p := &hopProcess{events: make(chan hopEvent, 4)}
	var err error
	p.Process, err = peers.StartProcess(s.setting.Name+", "+role, cmd, func(line []byte) {
		var e hopEvent
		if err := json.Unmarshal(line, &e); err != nil {
			e.bad = fmt.Sprintf("%v: %.200q", err, line)
		}
		p.events <- e
	}, func(error) {})
	if err != nil {
		return nil, hopEvent{}, err
	}
	s.closers.Add(p.Close)
	e, err := p.event(ctx)
	if err == nil && !e.Ready {
		err = fmt.Errorf("the %s says %+v before it is ready", role, e)
	}
	return p, e, err
}

// event returns the next event.
func (p *hopProcess) event(ctx context.Context) (hopEvent, error) {
	select {
	case e := <-p.events:
		if e.bad != "" {
			return e, errors.New(e.bad)
		}
		return e, nil
	case <-p.Done():
		return hopEvent{}, errors.New("a process is gone")
	case <-ctx.Done():
		return hopEvent{}, ctx.Err()
	}
}

// Round sends messages of size bytes for a time, at most window of them under way, and returns when
// all have arrived. Each must arrive once, in order and undamaged.
func (s *HopStage) Round(ctx context.Context, size, window int, lasts time.Duration) (HopFigure, error) {
	f, err := s.round(ctx, hopCommand{Size: size, Window: window, Lasts: lasts, Lossy: s.setting.Lossy})
	if err != nil {
		return f, fmt.Errorf("itest: hop, %s, %d bytes, %d under way: %w", s.setting.Name, size, window, err)
	}
	return f, nil
}

func (s *HopStage) round(ctx context.Context, todo hopCommand) (f HopFigure, err error) {
	line, err := json.Marshal(todo)
	if err != nil {
		return f, err
	}
	pids := [...]int{s.relay.Pid(), s.ends.Pid()}
	var before, after [len(pids)]time.Duration
	for i, pid := range pids {
		if before[i], err = cpuTime(pid); err != nil {
			return f, err
		}
	}
	if err := s.ends.WriteLine(line); err != nil {
		return f, err
	}
	e, err := s.ends.event(ctx)
	if err != nil {
		return f, err
	}
	for i, pid := range pids {
		if after[i], err = cpuTime(pid); err != nil {
			return f, err
		}
	}
	return HopFigure{Messages: e.Messages, Lost: e.Lost, Took: e.Took, Relay: after[0] - before[0], Ends: after[1] - before[1]}, nil
}

// Close ends the processes.
func (s *HopStage) Close() error { return s.closers.Close() }
