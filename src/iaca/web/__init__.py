"""The local web page: a person drops a video, and sees what the model makes of it. Needs the extra `web`."""
