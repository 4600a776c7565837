// Package protocoltest supports tests of package protocol and of its users. It has links in
// memory, identities that sign, and small networks of routers.
//
// Pipe returns the two ends of a link. Each end behaves like a stream. Frames arrive in order
// after a flush, with the latency and the bandwidth of the options. A reader that does not
// read blocks the writer when the window is full. Close is an orderly end, and Break is not.
// All waits are on channels and timers, so everything runs under testing/synctest in virtual
// time.
//
//	a, b := protocoltest.Pipe(toB, toA, protocoltest.PipeOptions{Latency: 50 * time.Millisecond})
//	go routerA.Serve(ctx, a)
//	go routerB.Serve(ctx, b)
//
// A Network does this for a graph of routers, and closes everything at the end of the test.
package protocoltest
