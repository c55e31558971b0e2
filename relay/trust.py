"""Whom the relay's HTTP clients trust: the authorities that httpx brings, read once a process.

To read them takes 40 ms of processor time, and every client would do it for itself.
"""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def authorities() -> ssl.SSLContext:
    """For `verify` of any number of clients: connections change nothing of it."""
    return httpx.create_ssl_context(trust_env=False)
