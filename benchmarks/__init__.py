"""The figures that the project claims; `python -m benchmarks` prints them all."""
