"""A folder of one's own videos, with or without annotation.

ROOT/**/<clip>.{mp4,avi,mov,mkv,webm,m4v,mpg,mpeg,wmv}    videos, nested as one likes; names are unique
ROOT/**/<clip>.csv          optional, beside its video: `time_s` or `frame`, `valence`, `arousal`
ROOT/partition.csv          optional: clip,partition[,subject]; without it partitions are dealt
ROOT/subjects.csv           optional, where partitions are dealt: clip,subject
ROOT/corpus.json, ROOT/events.csv    optional, as for every corpus
"""
