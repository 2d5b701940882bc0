"""Power cuts, simulated from recorded system calls, and real kills; see docs/store.md."""
