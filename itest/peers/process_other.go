//go:build !unix

package peers

import "errors"

// Pause returns an error: only Unix stops processes.
func (p *Process) Pause() error { return &toolError{"SIGSTOP", errors.ErrUnsupported} }

// Resume returns an error, as Pause does.
func (p *Process) Resume() error { return p.Pause() }
