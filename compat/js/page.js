// The module for a <script> of a page: the global PeerRelay is the class.

import { PeerRelay, fromHex, toHex } from './index.js'

globalThis.PeerRelay = Object.assign(PeerRelay, { fromHex, toHex })
