"""The local web page: drop a video and see its valence and arousal over time. Needs the extra `web`."""
