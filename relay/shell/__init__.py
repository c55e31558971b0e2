"""L3: Trio loops around the core. They move events in and commands out, and decide nothing."""
