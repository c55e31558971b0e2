"""A link under TLS: whom it believes, and that nothing is lost, doubled or left lying."""

from __future__ import annotations

import select
import shutil
import socket as sockets
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.websocket import AGAIN, ENDED, MORE, TEXT, Link, Trust, twin
from tests.websocket.secure import EXPIRED, LOCALHOST, Far, context, secure, shake_hands

LIMIT = 1 << 20


@contextmanager
def ends(*, tcp: bool = False, room: int = 0) -> Iterator[tuple[Link, sockets.socket]]:
    """A client's link, and the other end of its connection. room: of what the kernel holds."""
    if tcp:
        with sockets.create_server(("127.0.0.1", 0)) as listener:
            here = sockets.create_connection(listener.getsockname())
            there, _ = listener.accept()
    else:
        here, there = sockets.socketpair()
    with here, there:
        for end in (here, there):
            end.setblocking(False)
            if room:
                end.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, room)
        yield Link(here.fileno(), client=True, limit=LIMIT), there


@contextmanager
def secured(
    how: ssl.SSLContext | None = None, *, tcp: bool = False, room: int = 0
) -> Iterator[tuple[Link, Far]]:
    with ends(tcp=tcp, room=room) as (link, there):
        far = secure(link, there, how)
        with far.tls:
            yield link, far


def messages(link: Link) -> list[bytes]:
    """What came, until nothing more does."""
    found = []
    while link.receive() > 0:
        while link.untaken() and link.next() != MORE:
            found.append(link.payload())
    return found


def frames(data: bytes) -> list[bytes]:
    """Of a client, whole ones."""
    reader, found = twin.Reader(masked=True, limit=LIMIT), []
    while data:
        frame = reader.read(data)
        assert isinstance(frame, twin.Frame)
        found.append(frame.payload)
        data = data[frame.used :]
    return found


def readable(link: Link) -> bool:
    return bool(select.select([link.c.fd], [], [], 0)[0])


# ---- who is believed --------------------------------------------------------------------------


def refusal(shown: str, trust: Trust, host: str) -> str:
    with ends() as (link, there):
        link.secure(trust, host)
        far = Far(there, context(shown))
        with far.tls, pytest.raises(ConnectionError) as refused:
            shake_hands(link, far)
        return str(refused.value)


def believed(trust: Trust, host: str) -> bool:
    with ends() as (link, there):
        link.secure(trust, host)
        far = Far(there)
        with far.tls:
            shake_hands(link, far)
            return far.tls.version() == "TLSv1.3"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1"])
def test_a_certificate_for_the_name_or_address_that_was_dialled(host: str) -> None:
    assert believed(Trust(LOCALHOST), host)


@pytest.mark.parametrize(
    ("shown", "trusted", "host", "why"),
    [
        (LOCALHOST, EXPIRED, "localhost", "self-signed certificate"),
        (LOCALHOST, LOCALHOST, "example.com", "hostname mismatch"),
        (LOCALHOST, LOCALHOST, "localhost.example.com", "hostname mismatch"),
        (LOCALHOST, LOCALHOST, "127.0.0.2", "IP address mismatch"),
        (LOCALHOST, LOCALHOST, "::1", "IP address mismatch"),
        (EXPIRED, EXPIRED, "localhost", "certificate has expired"),
    ],
)
def test_any_other_is_refused_and_it_is_said_why(shown, trusted, host, why) -> None:
    told = refusal(shown, Trust(trusted), host)
    assert told.replace("self signed", "self-signed") == f"certificate verify failed: {why}"


def test_without_an_authority_nobody_is_believed(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert "self-signed" in refusal(LOCALHOST, Trust(), "localhost").replace("self s", "self-s")


def test_the_system_s_file_is_the_one_that_any_program_is_told_of(monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", LOCALHOST)
    assert believed(Trust(), "localhost")


def test_so_is_its_folder(monkeypatch, tmp_path) -> None:
    name = ["openssl", "x509", "-noout", "-hash", "-in", LOCALHOST]
    done = subprocess.run(name, capture_output=True, text=True, check=True)
    shutil.copy(LOCALHOST, tmp_path / f"{done.stdout.strip()}.0")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert believed(Trust(), "localhost")


def test_where_python_looks_elsewhere_it_is_looked_there_as_well(monkeypatch, tmp_path) -> None:
    """A Python that brings an OpenSSL of its own finds what that was built to find."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    theirs = ssl.get_default_verify_paths()._replace(
        openssl_cafile="/opt/elsewhere/cert.pem", cafile=LOCALHOST, capath=None
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: theirs)
    assert believed(Trust(), "localhost")
    nowhere = theirs._replace(cafile=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    assert refusal(LOCALHOST, Trust(), "localhost")


def test_a_file_without_certificates_is_no_authority(tmp_path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for name in (str(empty), str(tmp_path / "none.pem")):
        with pytest.raises(OSError, match=name):
            Trust(name)


@pytest.mark.parametrize("host", ["", ".localhost", "local\0host", "a" * 64, "a." * 150])
def test_a_name_that_cannot_be_checked_is_none(host: str) -> None:
    """To OpenSSL an empty one is anybody's, and one with a dot in front that of all below it."""
    with ends() as (link, _), pytest.raises(ValueError, match=r"certificate|label|idna"):
        link.secure(Trust(LOCALHOST), host)


# ---- who cannot be talked to ------------------------------------------------------------------


def test_an_old_version_is_refused() -> None:
    old = context()
    with pytest.deprecated_call():
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with ends() as (link, there):
        link.secure(Trust(LOCALHOST), "localhost")
        far = Far(there, old)
        with far.tls, pytest.raises(ConnectionError, match="protocol version"):
            shake_hands(link, far)


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version number"), (b"", "ended the connection")],
)
def test_a_peer_that_speaks_no_tls(said: bytes, why: str) -> None:
    with ends() as (link, there):
        link.secure(Trust(LOCALHOST), "localhost")
        link.shake_hands()
        there.send(said)
        there.shutdown(sockets.SHUT_WR)
        with pytest.raises(ConnectionError, match=why):
            link.shake_hands()


def reset(sock: sockets.socket) -> None:
    sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_connection_that_breaks_in_the_handshake() -> None:
    with ends(tcp=True) as (link, there):
        link.secure(Trust(LOCALHOST), "localhost")
        link.shake_hands()
        reset(there)
        with pytest.raises(ConnectionError, match="reset by peer"):
            link.shake_hands()


def test_what_went_wrong_on_one_connection_is_no_other_s() -> None:
    """OpenSSL keeps its errors in one queue a thread."""
    with secured() as (link, far):
        refusal(EXPIRED, Trust(EXPIRED), "localhost")
        assert link.receive() == AGAIN
        link.put(TEXT, b"still here")
        assert link.flush() == 0
        assert frames(far.read()) == [b"still here"]


# ---- bytes ------------------------------------------------------------------------------------


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def how(request) -> ssl.SSLContext:
    made = context()
    made.minimum_version = made.maximum_version = ssl.TLSVersion[request.param]
    return made


SIZES = [0, 1, 1000, 16_384, 16_385, 300_000, 5]


def test_messages_of_all_sizes_both_ways(how: ssl.SSLContext) -> None:
    sent = [bytes([65 + n]) * size for n, size in enumerate(SIZES)]
    with secured(how) as (link, far):
        ours, theirs, seen = b"", b"".join(twin.write(twin.TEXT, each) for each in sent), []
        for each in sent:
            link.put(TEXT, each)
        while link.flush() or theirs:
            ours += far.read()
            theirs = theirs[far.write(theirs) :]
            seen += messages(link)
        assert frames(ours + far.read()) == sent
        assert seen + messages(link) == sent


@settings(deadline=None, max_examples=40)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 40_000), st.booleans(), st.integers(0, 20_000)), max_size=12
    )
)
def test_a_peer_that_reads_when_it_likes_gets_everything_once(plan) -> None:
    """What is not taken waits, and more is put behind it: the buffer moves, and grows."""
    with secured(room=4096) as (link, far):
        sent, came = [], b""
        for size, flushed, read in plan:
            sent.append(bytes([65 + len(sent)]) * size)
            link.put(TEXT, sent[-1])
            if flushed:
                link.flush()
            if read:
                came += far.read(read)
        while link.flush():
            came += far.read()
        assert frames(came + far.read()) == sent


def test_what_is_decrypted_ahead_is_told_of() -> None:
    """The kernel knows nothing of it, so epoll cannot."""
    with secured() as (link, far):
        assert link.receive() == AGAIN, "its tickets"
        far.write(twin.write(twin.TEXT, b"x" * 16_000))
        assert link.receive() > 0
        assert link.full
        assert link.more
        assert not readable(link)
        while link.more:
            assert link.receive() > 0
        assert link.next() == TEXT
        assert link.payload() == b"x" * 16_000


def test_a_record_in_pieces_is_left_to_epoll() -> None:
    ours, theirs = sockets.socketpair()
    with ends() as (link, there), ours, theirs:
        theirs.setblocking(False)
        link.secure(Trust(LOCALHOST), "localhost")
        far = Far(ours)  # whose bytes are handed on by us
        with far.tls:
            done = 1
            while done:
                done = link.shake_hands()
                pass_on(there, theirs)
                far.shake_hands()
                pass_on(theirs, there)
            assert link.receive() == AGAIN
            far.write(twin.write(twin.TEXT, b"whole"))
            record = theirs.recv(1000)
            there.send(record[:9])
            assert link.receive() == AGAIN
            assert not link.more
            there.send(record[9:])
            assert messages(link) == [b"whole"]


def pass_on(source: sockets.socket, to: sockets.socket) -> None:
    try:
        to.sendall(source.recv(1 << 16))
    except BlockingIOError:
        return


# ---- the end ----------------------------------------------------------------------------------


def test_a_close_behind_the_last_words_is_told_though_the_connection_stays(how) -> None:
    """Nothing more comes by which epoll could tell of it."""
    with secured(how) as (link, far):
        link.receive()
        far.write(twin.write(twin.TEXT, b"last words"))
        with pytest.raises(ssl.SSLWantReadError):
            far.tls.unwrap()
        assert link.receive() > 0
        assert (link.next(), link.payload()) == (TEXT, b"last words")
        assert link.more or readable(link)
        assert [link.receive() for _ in range(3)] == [ENDED] * 3


def test_a_peer_that_has_said_goodbye_can_still_be_told(how: ssl.SSLContext) -> None:
    with secured(how) as (link, far):
        with pytest.raises(ssl.SSLWantReadError):
            far.tls.unwrap()
        assert link.receive() == ENDED
        link.put(TEXT, b"goodbye")
        assert link.flush() == 0


def test_our_end_is_told_as_one(how: ssl.SSLContext) -> None:
    with secured(how) as (link, far):
        link.shut()
        assert far.tls.recv(1) == b"", "not a connection that was cut off"
        far.write(twin.write(twin.TEXT, b"still heard"))
        assert messages(link) == [b"still heard"]


def test_a_connection_that_is_cut_off_is_the_end() -> None:
    with secured(tcp=True) as (link, far):
        reset(far.tls)
        link.put(TEXT, b"to nobody")
        assert link.receive() in (ENDED, AGAIN)  # its tickets may still have come
        assert link.receive() == ENDED
        assert link.flush() == ENDED
        link.shut()
        assert link.receive() == ENDED


def test_bytes_that_are_no_record_are_the_end() -> None:
    with secured() as (link, far):
        link.receive()
        raw = sockets.socket(fileno=far.tls.detach())
        with raw:
            raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            assert link.receive() == ENDED
            assert link.receive() == ENDED
            link.put(TEXT, b"x")
            assert link.flush() == ENDED


# ---- new keys ---------------------------------------------------------------------------------


@pytest.fixture
def s_server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """openssl's own server. At its input K asks for new keys both ways, k changes its own."""
    with sockets.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", LOCALHOST]
    with subprocess.Popen(
        [*command, "-tls1_3", "-naccept", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith(b"ACCEPT"):
            assert process.poll() is None
        yield process, port
        process.kill()


def wait(link: Link) -> None:
    assert select.select([link.c.fd], [], [], 30)[0]


def test_new_keys_in_the_middle_of_a_call(s_server) -> None:
    process, port = s_server
    with sockets.create_connection(("127.0.0.1", port)) as here:
        here.setblocking(False)
        link = Link(here.fileno(), client=True, limit=LIMIT)
        link.secure(Trust(LOCALHOST), "localhost")
        while link.shake_hands():
            wait(link)
        talk(link, process, b"before\n")  # and its tickets are read
        for command in (b"K\n", b"k\n", b"K\n"):
            type_in(process, command)
            wait(link)
            assert link.receive() == AGAIN, "that was no message"
            talk(link, process, b"after " + command)


def type_in(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def talk(link: Link, process: subprocess.Popen[bytes], said: bytes) -> None:
    """What is said is printed over there, and what is typed in there comes."""
    assert process.stdout is not None
    link.put_raw(said)
    assert link.flush() == 0
    while (line := process.stdout.readline()) != said:
        assert line, "the server took us for somebody else"
    type_in(process, b"heard\n")
    came = b""
    while not came.endswith(b"heard\n"):
        wait(link)
        link.receive()
        came += link.take_raw()
    assert came == b"heard\n"
