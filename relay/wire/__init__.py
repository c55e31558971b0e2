"""Text to events, commands to text: the only spellers of both protocols, TwiML and signatures.

twilio.py     Media Streams messages, both ways
realtime.py   the Realtime API's events, both ways
twiml.py      the documents that webhooks answer with
signature.py  who signed a request
ticket.py     who may open a stream, once

Nothing here waits, keeps state or reads a clock. A peer's nonsense raises that peer's own
ProtocolError and nothing else; calling us wrongly raises Misuse.
"""
