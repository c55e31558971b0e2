"""`pytest --hypothesis-profile=fuzz` draws many more examples (tests/fuzz/run.sh does)."""

from hypothesis import settings

settings.register_profile("fuzz", max_examples=500, deadline=None)
