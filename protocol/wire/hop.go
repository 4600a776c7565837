package wire

// A Hop holds the budgets of a message, one byte each from the highest: the
// transmissions, detours and NACKs that are left, and one reserved.
type Hop uint32

// The budgets with which a message starts. No relay passes on more.
const (
	TxBudget = 40 // transmissions
	Detours  = 2  // hops to a peer that is no nearer
	nacks    = 3  // NACKs
)

// NewHop returns the budgets with which a message starts.
func NewHop() Hop { return Hop(TxBudget<<24 | Detours<<16 | nacks<<8) }

// TxLeft returns the transmissions that are left, over all copies of a message.
func (h Hop) TxLeft() int { return int(h >> 24) }

// DetoursLeft returns how often the message may still go to a peer that is no nearer.
func (h Hop) DetoursLeft() int { return int(h >> 16 & 0xff) }

// WithTx sets the transmissions that are left, 0 to 255.
func (h Hop) WithTx(n int) Hop { return h&^(0xff<<24) | Hop(max(0, min(n, 0xff)))<<24 }

// WithDetours sets the detours that are left, 0 to 255.
func (h Hop) WithDetours(n int) Hop { return h&^(0xff<<16) | Hop(max(0, min(n, 0xff)))<<16 }
