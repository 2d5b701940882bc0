"""Merging other stores, and archives of stores; reading and writing archives."""
