package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// A BulkSetting is a way of moving many bytes from one process to another, by way of a
// relay in a third one or directly.
//
//	writer ── relay ── reader
type BulkSetting struct {
	Name  string
	Relay bool // there is one
	Ours  bool // a stream between two nodes

	way  bulkWay
	over string // the end of the relay's multiaddr, or the reader's if there is none
}

// A bulkWay is the kind of connection over which the bytes move.
type bulkWay string

const (
	bulkStream  bulkWay = "stream"  // ours
	bulkCircuit bulkWay = "circuit" // circuit-relay-v2
	bulkHost    bulkWay = "libp2p"  // two hosts
	bulkQUIC    bulkWay = "quic-go"
	bulkTCP     bulkWay = "tcp"
)

// BulkSettings returns all of them.
func BulkSettings() []BulkSetting {
	return []BulkSetting{
		{Name: "our stream, one relay, /ws links", Ours: true, Relay: true, way: bulkStream, over: "/ws"},
		{Name: "our stream, one relay, /quic-v1 links", Ours: true, Relay: true, way: bulkStream, over: "/quic-v1"},
		{Name: "circuit-relay-v2, one relay, /ws", Relay: true, way: bulkCircuit, over: "/ws"},
		{Name: "circuit-relay-v2, one relay, /tcp", Relay: true, way: bulkCircuit},
		{Name: "libp2p stream over /tcp, direct", way: bulkHost},
		{Name: "quic-go over UDP, direct", way: bulkQUIC},
		{Name: "TCP, direct, no encryption", way: bulkTCP},
	}
}

// The parts of a stage, as the figures count them.
const (
	BulkWriter = iota
	BulkRelay
	BulkReader
	BulkParts // how many there are
)

// A BulkFigure is the cost of one stream. The figures of the relay are 0 if there is none.
type BulkFigure struct {
	Took  time.Duration
	CPU   [BulkParts]time.Duration // user and system time, in steps of 10 ms
	Tenth [BulkParts]int64         // bytes of memory when a tenth had been read,
	Most  [BulkParts]int64         // and the most from then on
}

// A BulkStage is the processes of one setting, ready.
type BulkStage struct {
	setting        BulkSetting
	writer, reader *bulkProcess
	relay          *peers.Process // nil: there is none
	status         string         // URL of our relay, "" for another
	closers        peers.Closers
}

// A bulkProcess plays a part.
type bulkProcess struct {
	*peers.Process
	events chan bulkEvent // has room for all events of one stream
}

const (
	bulkEvents = 4

	// bulkLook is the time between two looks at the memory of the processes.
	bulkLook = 20 * time.Millisecond
)

// Start starts the processes. They are our binary, for a relay of ours, and this program
// again, whose main must begin with Play. It needs Linux.
func (s BulkSetting) Start(ctx context.Context, binary string) (*BulkStage, error) {
	stage := &BulkStage{setting: s}
	if err := stage.start(ctx, binary); err != nil {
		return nil, fmt.Errorf("itest: bulk, %s: %w", s.Name, errors.Join(err, stage.Close()))
	}
	return stage, nil
}

func (s *BulkStage) start(ctx context.Context, binary string) (err error) {
	part := bulkPart{Way: s.setting.way, Over: s.setting.over}
	switch {
	case s.setting.Ours:
		p, err := peers.StartGo(ctx, binary, peers.Spec{Name: "relay", Listen: true}, "--quic")
		if err != nil {
			return err
		}
		s.closers.Add(p.Close)
		s.relay, s.status = p.Process(), p.URL()
		if part.Relay, err = p.AddrWith(s.setting.over + "/p2p/"); err != nil {
			return err
		}
	case s.setting.Relay:
		part.Role = bulkRelay
		p, addr, err := s.play(ctx, part)
		if err != nil {
			return err
		}
		s.relay, part.Relay = p.Process, addr
	}
	part.Role = bulkReader
	if s.reader, part.To, err = s.play(ctx, part); err != nil {
		return err
	}
	part.Role = bulkWriter
	s.writer, _, err = s.play(ctx, part)
	return err
}

// play starts a process of this program and returns the address that it reports.
func (s *BulkStage) play(ctx context.Context, part bulkPart) (*bulkProcess, string, error) {
	cmd, err := peers.SelfAs(partBulk, part)
	if err != nil {
		return nil, "", err
	}
	p := &bulkProcess{events: make(chan bulkEvent, bulkEvents)}
	p.Process, err = peers.StartProcess(s.setting.Name+", "+part.Role, cmd, func(line []byte) {
		var e bulkEvent
		if err := json.Unmarshal(line, &e); err != nil {
			e.Bad = fmt.Sprintf("%v: %.200q", err, line)
		}
		p.events <- e
	}, func(error) {})
	if err != nil {
		return nil, "", err
	}
	s.closers.Add(p.Close)
	select {
	case e := <-p.events:
		if !e.Ready {
			return nil, "", fmt.Errorf("the %s says %+v before it is ready", part.Role, e)
		}
		return p, e.Addr, nil
	case <-p.Done():
		return nil, "", p.Close()
	case <-ctx.Done():
		return nil, "", fmt.Errorf("wait for the %s: %w", part.Role, ctx.Err())
	}
}

// pids returns the processes of the parts, 0 where there is none.
func (s *BulkStage) pids() (pids [BulkParts]int) {
	pids[BulkWriter], pids[BulkReader] = s.writer.Pid(), s.reader.Pid()
	if s.relay != nil {
		pids[BulkRelay] = s.relay.Pid()
	}
	return pids
}

// Round moves size bytes over a new stream of the existing connection (of TCP over a new
// connection), and returns when the writer knows that the reader has them all. It fails if
// their checksums differ, or if they went another way than through the relay.
func (s *BulkStage) Round(ctx context.Context, size int64) (BulkFigure, error) {
	f, err := s.round(ctx, size)
	if err != nil {
		return f, fmt.Errorf("itest: bulk, %s, %d bytes: %w", s.setting.Name, size, err)
	}
	return f, nil
}

func (s *BulkStage) round(ctx context.Context, size int64) (f BulkFigure, err error) {
	passed, err := s.passed(ctx)
	if err != nil {
		return f, err
	}
	before, err := s.cpu()
	if err != nil {
		return f, err
	}
	todo, err := json.Marshal(bulkCommand{Bytes: size})
	if err != nil {
		return f, err
	}
	started := time.Now()
	if err := errors.Join(s.reader.WriteLine(todo), s.writer.WriteLine(todo)); err != nil {
		return f, err
	}
	var wrote, read *bulkDone
	look := time.NewTicker(bulkLook)
	defer look.Stop()
	tenth := false
	for wrote == nil || read == nil {
		var e bulkEvent
		select {
		case e = <-s.writer.events:
			wrote = e.Done
		case e = <-s.reader.events:
			read = e.Done
		case <-look.C:
		case <-s.writer.Done():
			return f, errors.Join(errors.New("the writer is gone"), s.writer.Close())
		case <-s.reader.Done():
			return f, errors.Join(errors.New("the reader is gone"), s.reader.Close())
		case <-ctx.Done():
			return f, ctx.Err()
		}
		if e.Bad != "" {
			return f, errors.New(e.Bad)
		}
		if e.Tenth || tenth {
			if err := f.look(s.pids(), e.Tenth); err != nil {
				return f, err
			}
			tenth = true
		}
	}
	f.Took = time.Since(started)
	after, err := s.cpu()
	if err != nil {
		return f, err
	}
	for i := range after {
		f.CPU[i] = after[i] - before[i]
	}
	if *wrote != *read || wrote.Bytes != size {
		return f, fmt.Errorf("written were %d bytes with checksum %08x, read %d with %08x", wrote.Bytes, wrote.Sum, read.Bytes, read.Sum)
	}
	now, err := s.passed(ctx)
	if least := size / packet.MaxDatagram; s.status != "" && err == nil && now-passed < least {
		err = fmt.Errorf("the relay forwarded %d messages, want at least %d", now-passed, least)
	}
	return f, err
}

// look adds the memory that the processes have now.
func (f *BulkFigure) look(pids [BulkParts]int, first bool) error {
	for i, pid := range pids {
		if pid == 0 {
			continue
		}
		n, err := ResidentMemory(pid)
		if err != nil {
			return err
		}
		if first {
			f.Tenth[i] = n
		}
		f.Most[i] = max(f.Most[i], n)
	}
	return nil
}

// Growth returns the bytes by which the memory of the part grew that grew most.
func (f *BulkFigure) Growth() (most int64) {
	for i := range f.Most {
		most = max(most, f.Most[i]-f.Tenth[i])
	}
	return most
}

// passed returns the number of messages that our relay has forwarded, 0 for another relay.
func (s *BulkStage) passed(ctx context.Context) (int64, error) {
	if s.status == "" {
		return 0, nil
	}
	status, err := peers.FetchStatus(ctx, s.status)
	if err != nil {
		return 0, err
	}
	return int64(status.Counters["forwarded"]), nil
}

func (s *BulkStage) cpu() (times [BulkParts]time.Duration, err error) {
	for i, pid := range s.pids() {
		if pid == 0 {
			continue
		}
		if times[i], err = cpuTime(pid); err != nil {
			return times, err
		}
	}
	return times, nil
}

// Close ends the processes.
func (s *BulkStage) Close() error { return s.closers.Close() }
