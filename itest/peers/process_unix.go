//go:build unix

package peers

import "syscall"

// Pause stops the process until Resume.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a process run that Pause stopped.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }
