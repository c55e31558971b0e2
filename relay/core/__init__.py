"""L1: the call as a state machine without I/O. Imports the standard library and audio.frames."""
