"""Everybody is verified, and what that takes is read once."""

from __future__ import annotations

import ssl

from relay.trust import authorities


def test_all_clients_share_what_verifies_a_certificate_and_its_name() -> None:
    shared = authorities()
    assert shared is authorities()
    assert shared.verify_mode is ssl.CERT_REQUIRED
    assert shared.check_hostname
    assert len(shared.get_ca_certs()) > 50
