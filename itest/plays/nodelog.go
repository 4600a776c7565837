package plays

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/protocol"
)

// These texts are read in the debug log of a newcomer, as packages node and protocol write
// them. There is no other sign of these events: a search of the DHT that finds no peer, or a
// peer that cannot be dialled, is no error. TestLogsAreRead fails if a text is changed.
const (
	lineFound  = "DHT: found"                        // an address of the peer, which is dialled then
	lineEnded  = "DHT: search ended"                 // for the peer
	lineFailed = "dial of an introduced peer failed" // that was found
)

// A logLine is what a node has logged, of a peer or not.
type logLine struct {
	message, peer string

	at   time.Time
	text string // all of it
}

func isLine(message string, id protocol.ID) func(logLine) bool {
	return func(l logLine) bool { return l.message == message && l.peer == id.Short() }
}

// logLines is a slog.Handler that keeps its records.
type logLines struct{ *peers.Log[logLine] }

func newLogLines(name string) logLines { return logLines{peers.NewLog[logLine](name)} }

// await waits for a number of lines with this text, of a peer.
func (l logLines) await(ctx context.Context, n int, message string, id protocol.ID) error {
	if _, err := l.WaitN(ctx, n, isLine(message, id)); err != nil {
		return fmt.Errorf("itest: wait for %q of peer %s in the debug log: %w", message, id.Short(), err)
	}
	return nil
}

func (l logLines) Enabled(context.Context, slog.Level) bool { return true }

func (l logLines) Handle(_ context.Context, r slog.Record) error {
	line := logLine{message: r.Message, at: r.Time, text: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		line.text += " " + a.String()
		if a.Key == "peer" {
			line.peer = a.Value.String()
		}
		return true
	})
	l.Add(line)
	return nil
}

func (l logLines) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l logLines) WithGroup(string) slog.Handler { return l }
