// Package trials has networks of real processes endure what happens to those of users, and checks
// that nothing that was accepted is lost in silence. Like the plays of package plays, each trial
// returns an error if anything else than the expected happened.
//
//	soak.go     a network of processes that are killed, stopped, moved and closed
//	sweep.go    situations of lines, addresses, processes and disks, each on hosts of its own
//	closing.go  programs that send and end at once
package trials
