"""Precomputed features: for who holds features and labels, but not the videos.

    ROOT/partition.csv                                           clip,partition[,subject]
    ROOT/features/{audio,visual}/<clip>.{csv,parquet,safetensors}    time_s, then one column per feature
    ROOT/features/quality/<clip>.{csv,parquet,safetensors}           optional: time_s, then one column per cue
    ROOT/labels/<clip>.{csv,parquet,safetensors}                     optional: time_s,valence,arousal
    ROOT/corpus.json, ROOT/events.csv                            optional, as for every corpus

A modality is absent at times for which it has no row.
"""
