"""L4: `relay rehearse`: simulated callers, the real model, and marks for what it did.

    want      what the callers ask for, chosen from the business's own hours
    scripts   the five callers, and what they reply to an agent whose words nobody knows beforehand
    words     what may count as saying a time, a day, a greeting
    evidence  what a call left behind: on the line, and in the database
    score     what is demanded of a call, one mark each
    cost      what it will cost at most, before, and what it did cost, after
    stage     the relay, its telephone network and its model, and the calls one after another
    show      the table, the JSON, the files
    run       all of it together; `main` is the command

Callers, network and simulated model are the demo's. Production imports none of this.
"""
