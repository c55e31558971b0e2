"""L4: `relay demo`: four calls on this machine, with real speech and without keys or a network.

    scenario  what is drawn: the business, its hours, what the callers want
    caller    somebody who calls: what they can do, and what they measure
    callers   the four callers' scripts
    desk      the human who is rung
    owner     the webhook that the business's owner is told by
    model     the simulated Realtime model's process; what runs there is `model_process`
    ears      what was heard, recognised again in processes of their own
    measure   gaps and silences on a line
    checks    whether it all came true, and whether the checks can fail
    show      what the terminal shows
    street    the telephone network and the relay, as any call on this machine needs them
    house     everything that runs during the calls
    run       all of it together; `main` is the command

Nothing is imported here: model and ears are programs too, and start quicker without the rest.
"""
