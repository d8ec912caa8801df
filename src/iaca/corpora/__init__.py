"""Corpora: the embedded demo corpus, and importers that bring others into one form."""
