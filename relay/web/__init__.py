"""What is asked over HTTP: Twilio's webhooks and callbacks, and the health checks.

app.py       the Quart-Trio application, its limits and its empty error pages
twilio.py    which TwiML a call gets next
forms.py     Twilio's signed forms
outcomes.py  what became of a call after its stream: written behind the answer's back
health.py    /healthz and /readyz
"""
