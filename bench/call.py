"""What one call costs the core: a ten-minute conversation through `Call.handle` alone.

    python bench/call.py

No sockets, no codec, no Trio: the state machine, its ledger and its timers. The caller speaks and
is answered every eight seconds; 50 frames a second go through. Prints CPU seconds and µs a step.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from relay.core import events as on
from tests.core.driver import HUSH, Driver


def main() -> None:
    driver = Driver(max_call_s=3600.0)
    driver.greeted()
    started = time.process_time()
    turn = 0
    while driver.now < 600:
        turn += 1
        driver.caller_says(f"u{turn}", 2.0)
        driver.agent_says(f"a{turn}", 4000, response=f"r{turn}")
        driver.hear(5.0, HUSH)
    spent = time.process_time() - started
    frame = on.CallerAudio("AAAA", 20, HUSH)
    handle, now, n = driver.call.handle, driver.now, 20_000
    step = time.process_time()
    for i in range(n):
        handle(frame, now + i * 1e-6)
    step = time.process_time() - step
    print(f"ten-minute call through the core: {spent:.2f} s CPU ({turn} turns, 30,000 frames)")
    print(f"one frame of the caller: {step / n * 1e6:.1f} µs")


if __name__ == "__main__":
    main()
