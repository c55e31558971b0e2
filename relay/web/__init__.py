"""What is asked over HTTP: Twilio's webhooks and callbacks, and the health checks.

app.py       the Quart-Trio application, its limits and its empty error pages
bounded.py   how long a body may be, around either application
express.py   the most asked of them, answered before the framework
twilio.py    which TwiML a caller's call gets next
humans.py    the human's leg, the room where they meet, the voicemail
desk.py      what both need: the ways out of a call
forms.py     Twilio's signed forms
outcomes.py  what became of a call after its stream: written behind the answer's back
health.py    /healthz and /readyz
"""
