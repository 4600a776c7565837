// Package mailbox keeps messages for peers that are offline, in a file. It is the kept.Store of a node
// with Options.Mailbox.
//
//	DIR/messages.db   a bbolt database: To and Number -> the message
//	DIR/reserve       1 MiB of nothing, which is removed so that a full disk can be emptied
//
// A message is in the file, and the file on the disk (fsync), before Keep returns nil for it. So a
// process that is killed has all that it has promised when it starts again. Messages that
// wait are written together, since each write waits for the disk. One process can have a directory open.
//
// # Limits
//
// Options bound the bytes for each sender, for each receiver and in all, and the time. A message counts
// with 1 KiB beside its own bytes, for its entries in the file and in memory. The file does not shrink.
// It reuses what is free, and with messages of many sizes it can become twice as large as the bound.
//
// # A full disk
//
// A message that cannot be written is refused, and those before it stay whole: the file is changed by
// writing its free parts, and one page at last. To remove a message a few pages are written as well.
// If the disk has no room even for these, the reserve is removed first. Nothing is kept until it can be
// written again, or the file has as much room in it.
//
// # Threats
//
// Only signed messages are kept, so a stranger cannot use up the share of another sender. Keys are free,
// and many strangers can fill the whole mailbox, or the share of one receiver: a mailbox is a favour and
// no guarantee. Messages are readable in the file unless their applications encrypt them, and only its
// user can read the file.
package mailbox
