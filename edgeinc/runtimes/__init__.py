"""Runtimes behind one contract: arrays in, arrays out, and the device that really ran."""
