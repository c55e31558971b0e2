"""L4: `relay demo`: four calls on this machine, with real speech and without keys or a network.

    scenario  what is drawn: the business, its hours, what the callers want
    callers   the callers' scripts, and what they measure
    desk      the human who is rung
    owner     the webhook that the business's owner is told by
    model     the simulated Realtime model, in a process of its own
    ears      what was heard, recognised again in processes of their own
    measure   gaps and silences on a line
    checks    whether it all came true, and whether the checks can fail
    show      what the terminal shows
    house     everything that runs during the calls
    run       all of it together; `main` is the command

Nothing is imported here: model and ears are programs too, and start quicker without the rest.
"""
