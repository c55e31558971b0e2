"""Ten thousand handshakes of strangers, and none of them costs a session.

What a stranger may have: a signature of another address, a token that was used, one of another
account, one with a letter changed, one that is too old. Each is drawn, and mixed with the genuine
streams of a few calls, which must be let in once each.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from relay.switchboard import TOKEN_S, Switchboard
from relay.wire import signature
from tests.fakes import FakeStore
from tests.test_switchboard import AUTH, BASE, Desk, make_desk

STRANGERS = 10_000
CALLS = 50


def signed(token: str, key: str = AUTH) -> str:
    return signature.sign(key, f"{BASE}/twilio/stream/{token}", ())


class Stranger:
    """What somebody sends who has seen streams of ours, and has no key."""

    def __init__(self, desk: Desk, dice: random.Random) -> None:
        self.desk, self.dice = desk, dice
        self.used: list[str] = []
        self.old: list[str] = []
        self.fresh: list[str] = []
        self.elsewhere = Switchboard(FakeStore(), auth_token="another", stream_base=BASE)

    def no_signature(self) -> tuple[str, str]:
        return self.dice.choice(self.fresh), ""

    def random_signature(self) -> tuple[str, str]:
        return self.dice.choice(self.fresh), self.dice.randbytes(20).hex()

    def signature_of_another_key(self) -> tuple[str, str]:
        token = self.dice.choice(self.fresh)
        return token, signed(token, "a guess")

    def signature_of_another_stream(self) -> tuple[str, str]:
        one, other = self.dice.sample(self.fresh, 2)
        return one, signed(other)

    def changed_token(self) -> tuple[str, str]:
        token = self.dice.choice(self.fresh)
        at = self.dice.randrange(len(token))
        other = self.dice.choice([c for c in "ABCabc019-_." if c != token[at]])
        changed = token[:at] + other + token[at + 1 :]
        return changed, signed(changed)

    def used_token(self) -> tuple[str, str]:
        token = self.dice.choice(self.used)
        return token, signed(token)

    def old_token(self) -> tuple[str, str]:
        token = self.dice.choice(self.old)
        return token, signed(token)

    def token_of_another_account(self) -> tuple[str, str]:
        token = self.elsewhere.expect(f"CA{self.dice.random()}", "", "")
        assert token is not None
        return token, signed(token)

    def nonsense(self) -> tuple[str, str]:
        token = self.dice.choice(["", ".", "/", "..", "é", "x" * 3000, "%2e%2e"])
        return token, signed(token)


async def test_ten_thousand_strangers_open_no_stream() -> None:
    desk, dice = make_desk(), random.Random(11)
    stranger = Stranger(desk, dice)
    stranger.old = [desk.expect(f"CAold{n}") for n in range(20)]
    desk.clock.now += TOKEN_S
    for n in range(20):
        token = desk.expect(f"CAused{n}")
        assert await desk.open(token) == f"CAused{n}"
        stranger.used.append(token)
    stranger.fresh = [desk.expect(f"CA{n}") for n in range(CALLS)]
    tricks: list[Callable[[], tuple[str, str]]] = [
        getattr(stranger, name)
        for name, each in vars(Stranger).items()
        if callable(each) and not name.startswith("_")
    ]
    let_in = []
    for _ in range(STRANGERS):
        token, claimed = dice.choice(tricks)()
        let_in.append(await desk.open(token, signed=claimed))
    assert Counter(let_in) == {None: STRANGERS}
    refused = {why: count for why, count in desk.board.counts.items() if why.startswith("refused:")}
    assert sum(refused.values()) == STRANGERS
    assert set(refused) == {
        "refused:bad_signature",
        "refused:bad_token",
        "refused:used_token",
        "refused:stale_token",
    }
    for n, token in enumerate(stranger.fresh):
        assert await desk.open(token) == f"CA{n}", "whom it was meant for still gets in"


async def test_a_clock_that_jumps_lets_no_token_be_used_twice() -> None:
    desk = make_desk()
    token = desk.expect()
    assert await desk.open(token) == "CA1"
    for hours in (3, -3, -3, 3):
        desk.clock.now += hours * 3600
        desk.expect(f"CA{desk.clock.now}")  # what is forgotten with time is forgotten now
        assert await desk.open(token) is None
    late = desk.expect("CA2")
    desk.clock.now -= 59
    assert await desk.open(late) == "CA2", "a clock that is set back shuts nobody out"
