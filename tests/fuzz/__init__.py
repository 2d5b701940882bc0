"""Seeded fuzzing through the public interface: `python -m tests.fuzz --help`.

mutate     damage to bytes of any kind
kinds      what is fuzzed: one module a kind, each with seeds, mutations and the product's work
worker     a process that takes many inputs of one kind and tells of each
campaign   starts workers, attributes crashes and hangs, counts
report     what came of it, in words
"""
