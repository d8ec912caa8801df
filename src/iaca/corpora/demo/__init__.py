"""The demo corpus: a photo puppet with a synthetic voice, annotated like Aff-Wild2, with events whose truth is known.

It proves that the workflow works. It does not measure emotion recognition.
"""
