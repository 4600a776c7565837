package legacy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// The signals of simple-peer. Each is the data of a message of type signal:
//
//	{"type":"offer"|"answer","sdp":"v=0…"}
//	{"candidate":{"candidate":"candidate:…","sdpMLineIndex":0,"sdpMid":"0"}}
//	{"type":"candidate","candidate":{…}}                     of version 9, only read
//
// No signal marks the end of the candidates: {"candidate":null} destroys a simple-peer that is
// not connected yet.

const (
	maxSignal     = 32 << 10 // bytes of a signal
	maxCandidate  = 1 << 10  // bytes of a candidate
	maxMid        = 64       // bytes of the name of its medium; real names have one
	maxCandidates = 32       // candidates of one side that are used
)

// An rtcSignal is a signal in its JSON form.
type rtcSignal struct {
	Type      string        `json:"type,omitempty"`
	SDP       string        `json:"sdp,omitempty"`
	Candidate *rtcCandidate `json:"candidate,omitempty"`

	within []rtcCandidate // candidates that were in SDP
	proved bool
}

type rtcCandidate struct {
	Candidate     string  `json:"candidate"`
	SDPMLineIndex *uint16 `json:"sdpMLineIndex"`
	SDPMid        *string `json:"sdpMid"`
}

var errSignal = fmt.Errorf("%w: not a signal of simple-peer", wire.ErrMalformed)

// parseSignal returns a signal. It refuses what simple-peer would not send.
func parseSignal(text []byte) (s rtcSignal, err error) {
	if len(text) > maxSignal {
		return s, errSignal
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: %v", errSignal, err)
	}
	switch {
	case s.Candidate != nil:
		if s.SDP != "" || s.Type != "" && s.Type != "candidate" || s.Candidate.Candidate == "" || len(s.Candidate.Candidate) > maxCandidate {
			return s, errSignal
		}
		if mid := s.Candidate.SDPMid; mid != nil && len(*mid) > maxMid {
			return s, errSignal
		}
	case s.SDP == "" || s.Type != "offer" && s.Type != "answer":
		return s, errSignal
	default:
		s.SDP, s.within = splitSDP(s.SDP)
		return s, checkSDP(s.SDP, len(s.within))
	}
	return s, nil
}

// splitSDP removes the candidates from a session description, which has them if the peer does
// not trickle. So they are checked like all others.
func splitSDP(text string) (rest string, candidates []rtcCandidate) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		value, is := strings.CutPrefix(line, "a=candidate:")
		if !is {
			b.WriteString(line)
		} else if len(candidates) <= maxCandidates { // checkSDP refuses one more
			first := "0"
			candidates = append(candidates, rtcCandidate{Candidate: "candidate:" + strings.TrimRight(value, "\r\n"), SDPMid: &first})
		}
	}
	return b.String(), candidates
}

// checkSDP refuses a session description that has anything but the transport of one data
// channel. pion would set up each other medium.
func checkSDP(text string, candidates int) error {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return fmt.Errorf("%w: %v", errSignal, err)
	}
	if len(d.MediaDescriptions) != 1 || d.MediaDescriptions[0].MediaName.Media != "application" {
		return fmt.Errorf("%w: want one medium, for data channels", errSignal)
	}
	media := d.MediaDescriptions[0]
	for _, a := range slices.Concat(d.Attributes, media.Attributes) {
		if a.Key == sdp.AttrKeyCandidate || len(a.Value) > maxCandidate {
			return fmt.Errorf("%w: attribute %.20q", errSignal, a.Key)
		}
	}
	if candidates > maxCandidates {
		return fmt.Errorf("%w: %d candidates", errSignal, candidates)
	}
	return nil
}

// text returns the signal as JSON.stringify writes it.
func (s rtcSignal) text() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
