"""<Gather>: keys, while something is said and for some seconds after it."""

from __future__ import annotations

import trio

from relay.sim.twilio_call import Ask
from relay.sim.twilio_conductor import Conductor
from relay.sim.twilio_verbs import Gather


async def gather(conductor: Conductor, verb: Gather, url: str) -> Ask | None:
    """Collect keys. Returns where they are to be told; None falls through to the next verb."""
    action = conductor.action(verb.action or url, verb.method, url)
    conductor.call.line.pressed.clear()  # what was pressed before it was not asked for
    collected = await conductor.while_up(_collect, conductor, verb)
    if collected is None or (not collected[0] and not verb.action_on_empty):
        return None
    digits, finish = collected
    conductor.call.log.add("gathered", digits)
    form = {"Digits": digits, "FinishedOnKey": finish, "msg": "Gather End"}
    return await conductor.follow(action, form)


async def _collect(conductor: Conductor, verb: Gather) -> tuple[str, str]:
    """The digits, and the key that ended them or "". The first key breaks off the prompts."""
    digits = ""
    key = await _key_while_prompting(conductor, verb)
    while True:
        if key is None:
            with trio.move_on_after(verb.timeout_s):
                key = await conductor.call.line.key()
        if key is None or (verb.finish_on_key and key in verb.finish_on_key):
            return digits, key or ""
        digits, key = digits + key, None
        if len(digits) == verb.num_digits:
            return digits, ""


async def _key_while_prompting(conductor: Conductor, verb: Gather) -> str | None:
    keys: list[str] = []
    async with trio.open_nursery() as nursery:

        async def prompt() -> None:
            await conductor.prompt(verb.prompts)
            nursery.cancel_scope.cancel()

        nursery.start_soon(prompt)
        keys.append(await conductor.call.line.key())
        nursery.cancel_scope.cancel()
    return keys[0] if keys else None
