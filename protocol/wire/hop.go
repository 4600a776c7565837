package wire

// A Hop holds the budgets of a message, one byte each. From the highest byte on they are
// the transmissions, detours and NACKs that are left, and the number of the attempt.
type Hop uint32

// The budgets of a new message. No relay forwards a message with a larger one.
const (
	TxBudget = 40 // transmissions, over all copies of the message
	Detours  = 2  // hops to a peer that is no nearer to the receiver
	nacks    = 3  // NACKs
)

// NewHop returns the budgets of a new message.
func NewHop() Hop { return Hop(TxBudget<<24 | Detours<<16 | nacks<<8) }

// TxLeft returns the number of transmissions that are left.
func (h Hop) TxLeft() int { return int(h >> 24) }

// DetoursLeft returns the number of detours that are left.
func (h Hop) DetoursLeft() int { return int(h >> 16 & 0xff) }

// NacksLeft returns the number of NACKs that are left.
func (h Hop) NacksLeft() int { return int(h >> 8 & 0xff) }

// WithNacks returns h with n NACKs left, limited to 0 to 255.
func (h Hop) WithNacks(n int) Hop { return h&^(0xff<<8) | Hop(max(0, min(n, 0xff)))<<8 }

// WithTx returns h with n transmissions left, limited to 0 to 255.
func (h Hop) WithTx(n int) Hop { return h&^(0xff<<24) | Hop(max(0, min(n, 0xff)))<<24 }

// WithDetours returns h with n detours left, limited to 0 to 255.
func (h Hop) WithDetours(n int) Hop { return h&^(0xff<<16) | Hop(max(0, min(n, 0xff)))<<16 }

// Attempt returns the number of the attempt: 0 for the first one of a message.
func (h Hop) Attempt() int { return int(h & 0xff) }

// WithAttempt returns h as that of attempt n, limited to 0 to 255.
func (h Hop) WithAttempt(n int) Hop { return h&^0xff | Hop(max(0, min(n, 0xff))) }
