// Package measure finds out what a relay costs: ours, the npm package's, and
// circuit-relay-v2. hop.go takes the CPU time of a relay for one message beside that of other relays, with
// ends that are written by hand; hoppart.go, hopframes.go and hopjson.go are the ends, hoprelay.go the
// relays that do no more than they must. cost.go takes the CPU time of a relay for one message, bulk.go the
// speed, CPU time and memory of a long stream; bulkpart.go is the processes that move it.
// resources.go reads what a process has used from /proc, so that it needs Linux.
package measure
