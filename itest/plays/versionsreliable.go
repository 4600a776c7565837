package plays

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A surely is a reliable message, with what its sender was told.
type surely struct {
	letter
	tag  int
	told string
}

// writeReliably has each guest of the new build write a reliable message to each guest of the other
// side, and waits until it is told what came of it.
func (v *versions) writeReliably(ctx context.Context) error {
	for side, senders := range v.sides {
		for _, from := range senders {
			for _, to := range v.sides[1-side] {
				if from.maker != newBuild {
					continue
				}
				if err := v.sendReliably(ctx, from, to); err != nil {
					return fmt.Errorf("reliable, from %s to %s: %w", from.name, to.name, err)
				}
			}
		}
	}
	for i := range v.sure {
		s := &v.sure[i]
		e, err := s.from.Events().Wait(ctx, func(e peers.Event) bool { return string(e.Tag) == fmt.Sprint(s.tag) })
		if err != nil {
			return err
		}
		s.told = toldBy(e)
		s.from.unconfirmed = s.from.unconfirmed || s.told == Unknown
	}
	return nil
}

func (v *versions) sendReliably(ctx context.Context, from, to *guest) error {
	text := fmt.Sprintf("reliable, from %s to %s", from.name, to.name)
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	s := surely{letter: letter{from: from, to: to, text: string(quoted)}, tag: len(v.sure)}
	v.sure = append(v.sure, s)
	return from.Peer.(*peers.GoPeer).SendReliable(ctx, to.ID(), text, s.tag)
}

// judgeReliable writes into the report what came of the reliable messages. Each has arrived, once, and
// what its sender was told is no falsehood. Only an npm peer takes further attempts for messages of
// their own: behind a relay of a build that sends no receipts there are some.
func (v *versions) judgeReliable(ctx context.Context, report *VersionsReport) error {
	ctx, stop := context.WithTimeout(ctx, lostAfter)
	defer stop()
	var errs []error
	for _, s := range v.sure {
		_, err := s.to.Events().Wait(ctx, func(e peers.Event) bool {
			return e.Kind == peers.EventMessage && e.Node == s.from.ID() && string(e.Data) == s.text
		})
		came := len(s.to.arrivals(s.from, s.text))
		honest := []string{Proved, Unknown} // relays of other builds lose some requests for receipts
		switch {
		case s.to.maker == npm:
			honest = []string{Handed, Unknown}
		case s.to.maker == newBuild && v.chain.Name == string(newBuild):
			honest = []string{Proved}
		}
		repeated := came > 1 && (s.to.maker != npm || s.told != Unknown)
		if err != nil || repeated || !slices.Contains(honest, s.told) {
			errs = append(errs, fmt.Errorf("relays %s, from %s to %s: came %d times, its sender was told %q: %s", v.chain.Name, s.from.name, s.to.name, came, s.told, s.text))
		}
		report.Told[fmt.Sprintf("%s over %s: %s, came %d times", s.to.maker, v.chain.Name, s.told, came)]++
	}
	return errors.Join(errs...)
}
