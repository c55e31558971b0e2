"""Whom a link believes to be its peer (native/tls.h): made once, and shared by all connections.

A peer is always verified. The authorities are the system's, or those of one file in their place.
"""

from __future__ import annotations

import ssl
from typing import Any

from relay.audio._native import ffi, lib


class Trust:
    """The authorities that are believed. file: theirs, as PEM; None: the system's.

    Raises OSError when the file cannot be read. Reading the system's takes 20 ms.
    """

    __slots__ = ("c",)

    def __init__(self, file: str | None = None) -> None:
        made = lib.tls_trust_open()
        if made == ffi.NULL:
            raise MemoryError
        self.c: Any = ffi.gc(made, lib.tls_trust_close)
        if file is None:
            self._believe_the_system()
        else:
            self._believe(file, None)

    def _believe_the_system(self) -> None:
        """SSL_CERT_FILE and SSL_CERT_DIR, or where this OpenSSL looks; and where Python's does, if
        that was built to look elsewhere."""
        lib.tls_trust_system(self.c)
        theirs = ssl.get_default_verify_paths()
        if theirs.openssl_cafile != ffi.string(lib.tls_system_file()).decode():
            self._believe(theirs.cafile, theirs.capath)

    def _believe(self, file: str | None, folder: str | None) -> None:
        names = [ffi.NULL if name is None else name.encode() for name in (file, folder)]
        if (file or folder) and lib.tls_trust_these(self.c, *names) < 0:
            raise OSError(f"no certificates can be read from {file or folder}")
