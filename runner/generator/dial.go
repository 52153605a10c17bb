package generator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
)

// dialTime is how long a worker tries each of our addresses, and a connection may take to
// say who it is.
const dialTime = 10 * time.Second

// door is where workers connect back to that their launcher gives no streams of their own.
type door struct {
	net.Listener
	token  string
	digest [sha256.Size]byte // of the certificate
	config *tls.Config
}

// openDoor listens on every address of this machine, with a token and a certificate that
// are made for this one time.
func openDoor() (*door, error) {
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for the workers' connections: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the workers' connections: %w", err)
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return nil, fmt.Errorf("listen for workers: %w", err)
	}
	return &door{
		Listener: l, token: hex.EncodeToString(secret), digest: sha256.Sum256(cert),
		config: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: private}}},
	}, nil
}

// way is what a worker must know to come: token, certificate and addresses.
func (d *door) way() string {
	_, port, _ := net.SplitHostPort(d.Addr().String())
	parts := []string{d.token, hex.EncodeToString(d.digest[:])}
	for _, host := range ownAddresses() {
		parts = append(parts, net.JoinHostPort(host, port))
	}
	return strings.Join(parts, ",")
}

// ownAddresses are those of this machine at which others may reach it, the loopback first:
// a worker on this machine gets there at once, and on another one is refused at once.
func ownAddresses() []string {
	out := []string{"127.0.0.1"}
	all, _ := net.InterfaceAddrs() // none: the loopback is left
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() || n.IP.IsMulticast() {
			continue
		}
		out = append(out, n.IP.String())
	}
	return out
}

// admit takes a connection that has the token.
func (d *door) admit(raw net.Conn) (*conn, hello, error) {
	c := newConn(tls.Server(raw, d.config))
	_ = raw.SetDeadline(time.Now().Add(dialTime))
	h, err := welcome(c)
	if err == nil && subtle.ConstantTimeCompare([]byte(h.Token), []byte(d.token)) != 1 {
		err = errors.New("its token is not this run's")
	}
	if err != nil {
		c.Close()
		return nil, h, err
	}
	return c, h, raw.SetDeadline(time.Time{})
}

// welcome reads a worker's first words.
func welcome(c *conn) (hello, error) {
	garbage, err := greet(c.in)
	if err != nil {
		if s := strings.TrimSpace(string(garbage)); s != "" {
			err = fmt.Errorf("%w: it wrote %.500q", err, s)
		}
		return hello{}, err
	}
	f, err := readFrame(c.in, maxHello)
	if err != nil {
		return hello{}, err
	}
	if f.kind != kindHello {
		return hello{}, fmt.Errorf("what came is not the protocol: it begins with a frame of kind %q", f.kind)
	}
	return read[hello](f)
}

// connectBack is the stream of a worker that has to come by itself, to the first of the
// addresses where the run answers.
func connectBack(ctx context.Context, way string) (*conn, string, error) {
	parts := strings.Split(way, ",")
	if len(parts) < 3 {
		return nil, "", fmt.Errorf("%s is not what sparkrun sets", dialVariable)
	}
	token, addresses := parts[0], parts[2:]
	digest, err := hex.DecodeString(parts[1])
	if err != nil {
		return nil, "", fmt.Errorf("%s is not what sparkrun sets: %w", dialVariable, err)
	}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}, Config: &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Whose certificate it is, is known by its digest; no authority has signed it.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if sum := sha256.Sum256(s.PeerCertificates[0].Raw); !slices.Equal(sum[:], digest) {
				return errors.New("another program than the run answers")
			}
			return nil
		},
	}}
	var failures []error
	for _, a := range addresses {
		c, err := dialer.DialContext(ctx, "tcp", a)
		if err == nil {
			return newConn(c), token, nil
		}
		failures = append(failures, err)
	}
	return nil, "", fmt.Errorf("connect to the run: %w", errors.Join(failures...))
}
