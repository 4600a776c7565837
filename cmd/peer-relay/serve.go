package main

import (
	"context"
	"strconv"
)

// serve runs a relay until a signal ends it: peer-relay PORT [BOOTSTRAP…].
func (p *program) serve(ctx context.Context, args []string) error {
	o, err := p.options()
	if err != nil {
		return err
	}
	if args[0] != "none" {
		port, err := strconv.ParseUint(args[0], 10, 16)
		if err != nil {
			return wrongUsage("port %q: want 0 to 65535, or none", args[0])
		}
		o.Listen, o.Port = true, uint16(port)
	}
	o.Bootstraps = append(o.Bootstraps, args[1:]...)
	return p.runPeer(ctx, o, nil)
}
