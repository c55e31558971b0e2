"""L4: `relay demo`: two calls on this machine, with real speech and without keys or a network.

    scenario  what is drawn: the business, its hours, what the callers want
    callers   the two callers' scripts, and what they measure
    model     the simulated Realtime model, in a process of its own
    ears      what was heard, recognised again in processes of their own
    checks    whether it all came true, and whether the checks can fail
    show      what the terminal shows
    run       all of it together; `main` is the command

Nothing is imported here: model and ears are programs too, and start quicker without the rest.
"""
