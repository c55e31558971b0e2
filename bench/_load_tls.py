"""TLS for the model's end of a load run: a CA made on the spot, and a socket for epoll.

The certificate is what a relay meets in production: an elliptic curve, TLS 1.3, checked against a
CA that it was told to trust (SSL_CERT_FILE; Node: NODE_EXTRA_CA_CERTS) beside the system's, which
it has to load all the same.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HANDSHAKE_S: Final = 10.0
DAYS: Final = "2"
CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Papers:
    """Files: what is to be trusted (our CA, and the system's), and what the server shows."""

    trusted: Path
    certificate: Path
    key: Path


def make_papers(folder: Path) -> Papers:
    """A CA that lives as long as the folder, and a certificate of it for this machine."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    papers = Papers(folder / "trusted.pem", folder / "model.pem", folder / "model.key")
    signs = ("-addext", "keyUsage=critical,keyCertSign")  # asked of a CA by Python 3.13 and later
    _openssl("-subj", "/CN=Benchmark CA", *signs, "-keyout", str(ca_key), "-out", str(ca))
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    signed = ("-CA", str(ca), "-CAkey", str(ca_key), "-addext", names)
    end = ("-addext", "basicConstraints=critical,CA:FALSE")
    where = ("-keyout", str(papers.key), "-out", str(papers.certificate))
    _openssl("-subj", "/CN=localhost", *signed, *end, *where)
    system = ssl.get_default_verify_paths().cafile
    theirs = Path(system).read_bytes() if system else b""
    papers.trusted.write_bytes(ca.read_bytes() + theirs)
    return papers


def _openssl(*options: str) -> None:
    command = ["openssl", "req", "-x509", *CURVE, "-days", DAYS, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit("the TLS run needs the openssl program") from None
    if done.returncode:
        raise SystemExit(f"no certificate:\n{done.stderr}")


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class TlsSocket:
    """What `Peer` and `accept` ask of a socket. "Not now" is BlockingIOError, as of a plain one.

    OpenSSL takes one record off the kernel at a time, so what is left there wakes epoll; what it
    has decrypted does not, and is taken at once.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Shakes hands, and waits for it. Raises OSError."""
        sock.settimeout(HANDSHAKE_S)
        self._tls = context.wrap_socket(sock, server_side=True)
        self.fileno = self._tls.fileno
        self.close = self._tls.close
        self.settimeout = self._tls.settimeout
        self.setblocking = self._tls.setblocking
        self.setsockopt = self._tls.setsockopt
        self.sendall = self._tls.sendall

    def recv(self, size: int) -> bytes:
        room = bytearray(size)
        return bytes(room[: self.recv_into(room)])

    def recv_into(self, room: bytearray) -> int:
        try:
            came = self._tls.recv_into(room)
            while came < len(room) and self._tls.pending():
                came += self._tls.recv_into(memoryview(room)[came:])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        return came

    def send(self, data: bytes | bytearray) -> int:
        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
