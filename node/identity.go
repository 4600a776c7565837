package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/peer-relay/peer-relay/node/internal/contact"
	"github.com/peer-relay/peer-relay/protocol"
)

// maxKeyFile is the largest size of a key file in bytes. A 4096-bit RSA key takes about 2400,
// an Ed25519 key 68.
const maxKeyFile = 8 << 10

// IDOf returns the id of a libp2p peer: the first 20 bytes of the SHA-256 of its peer id. They
// are also the head of its key in a Kademlia DHT.
func IDOf(p peer.ID) protocol.ID { return contact.IDOf(p) }

// NewKey returns a new Ed25519 key, the identity of a peer.
func NewKey() (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	return key, err
}

// LoadKey returns the key in the file at path, a marshalled libp2p private key as other libp2p
// programs write it. If there is no such file, it makes an Ed25519 key and writes it there,
// readable only by its owner (mode 0600). A file that others may read is refused, since with
// the key they could act as the peer. See Options.KeyFileGroup for one that its group may read.
func LoadKey(path string) (crypto.PrivKey, error) { return loadKey(path, ownerOnly) }

// A keyMode is a set of mode bits that a key file must not have.
type keyMode fs.FileMode

const (
	ownerOnly  keyMode = 0o077
	groupReads keyMode = 0o037 // the group may read the key, and not change it
)

func loadKey(path string, refused keyMode) (crypto.PrivKey, error) {
	key, err := readKey(path, refused)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = createKey(path)
		if errors.Is(err, fs.ErrExist) { // another process was quicker
			key, err = readKey(path, refused)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("node: key file: %w", err)
	}
	return key, nil
}

func readKey(path string, refused keyMode) (crypto.PrivKey, error) {
	// Before opening, since opening a named pipe would wait for a writer.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if err := checkKeyFile(path, info, refused); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Check again on the open file, since it may be another one by now.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkKeyFile(path, info, refused); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	key, err := crypto.UnmarshalPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%s holds no whole libp2p private key (%d bytes): %w; move it away to get a new identity", path, len(raw), err)
	}
	return key, nil
}

func checkKeyFile(path string, info fs.FileInfo, refused keyMode) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !mode.IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxKeyFile:
		return fmt.Errorf("%s has %d bytes, too many for a key", path, info.Size())
	// Windows has no such bits. There the folder's access list decides.
	case runtime.GOOS == "windows" || mode.Perm()&fs.FileMode(refused) == 0:
		return nil
	case mode.Perm()&fs.FileMode(groupReads) == 0: // as of a secret that is mounted in a container
		return fmt.Errorf("%s has mode %04o, so that its group may read it: make it 0600 (chmod 600), or allow that with KeyFileGroup (--key-group)", path, mode.Perm())
	default:
		return fmt.Errorf("%s has mode %04o, so that others may read it: make it 0600 (chmod 600)", path, mode.Perm())
	}
}

func createKey(path string) (crypto.PrivKey, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	// O_EXCL: never overwrite another key, and never follow a planted link.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(path) // half a key would be refused for ever
		return nil, err
	}
	return key, nil
}
