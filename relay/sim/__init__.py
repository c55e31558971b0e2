"""L3: both ends of the relay, simulated: a Twilio cloud with callers, and a Realtime model.

Independent spellings of the two protocols: nothing here imports relay.wire, so that a mistake
made there cannot be made here too. Every clock is trio's.
"""
