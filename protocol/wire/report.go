package wire

import "bytes"

// maxReported is the most bytes of the agent's name in a Report.
const maxReported = 64

// A Report is the payload of a message of KindReport: a traced ping has come to its sender.
type Report struct {
	E2E   []byte // end-to-end id of the ping
	Nonce []byte // of the attempt that came
	Hops  int    // links over which it came, from 1 on: the sender's place in the path, which begins with the origin
	Link  string // kind of the last of these links, as a LinkKind's String returns it; "" means not told
	Agent string // name and version of the sender's program in printable ASCII; "" means not told
}

// NewReport returns the report of a peer with this agent to which a ping came over a link.
func NewReport(f *Frame, link LinkKind, agent string) Report {
	name := []byte(agent)
	for i, c := range name {
		if c < 0x20 || c > 0x7e {
			name[i] = '?'
		}
	}
	return Report{E2E: f.Body.E2E, Nonce: f.Nonce, Hops: f.PathLen(), Link: link.String(), Agent: string(name[:min(len(name), maxReported)])}
}

// reportedLinks are the kinds of links by their numbers in a Report.
var reportedLinks = [...]string{"", LinkNative.String(), LinkWebSocket.String(), LinkWebRTC.String()}

// AppendReport appends the payload of a report.
func AppendReport(b []byte, r Report) []byte {
	b = appendBytes(appendBytes(b, 1, r.E2E), 2, r.Nonce)
	b = appendUint(b, 3, uint64(r.Hops))
	for n, kind := range reportedLinks {
		if kind == r.Link {
			b = appendUint(b, 4, uint64(n))
		}
	}
	return appendOptional(b, 5, []byte(r.Agent))
}

// ParseReport returns the Report that a payload encodes. It aliases the payload.
func ParseReport(b []byte) (Report, error) {
	var r Report
	seen, err := eachField(b, 5, 0, func(f *field) (err error) {
		var number uint32
		switch f.number {
		case 1:
			r.E2E, err = f.sized(TokenSize, TokenSize)
		case 2:
			r.Nonce, err = f.sized(1, MaxNonce)
		case 3:
			err = f.upTo(&number, MaxPath)
			r.Hops = int(number)
		case 4:
			if err = f.enum(&number); err == nil && int(number) < len(reportedLinks) {
				r.Link = reportedLinks[number]
			}
		case 5:
			var name []byte
			name, err = f.sized(1, maxReported)
			if err == nil && bytes.ContainsFunc(name, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
				err = malformed("the agent is not printable ASCII")
			}
			r.Agent = string(name)
		}
		return err
	})
	if err == nil && !(seen.has(1) && seen.has(2) && r.Hops > 0) {
		err = malformed("a report without the end-to-end id, the nonce or the number of links")
	}
	if err != nil {
		return Report{}, err
	}
	return r, nil
}
