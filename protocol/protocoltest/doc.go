// Package protocoltest holds what tests of package protocol and of its users need: links
// in memory, identities that really sign, and small networks of routers.
//
// A pair of links is made by Pipe. Each end behaves like a stream: what is written is
// seen at the other end after a flush, in order, after the latency and at the
// bandwidth that were asked for; a reader that does not read blocks the writer once a
// window is full; Close ends the stream in order, Break tears it. Every wait is on
// channels and timers, so all of it runs under testing/synctest in virtual time.
//
//	a, b := protocoltest.Pipe(toB, toA, protocoltest.PipeOptions{Latency: 50 * time.Millisecond})
//	go routerA.Serve(ctx, a)
//	go routerB.Serve(ctx, b)
//
// Network does this for whole graphs of routers and ends everything with the test.
package protocoltest
