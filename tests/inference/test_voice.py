"""The voice is that of the mouth that moves with it, and everyone's where that is not clear."""

import numpy as np

from iaca.encoders.embedding import ClipEmbedding
from iaca.inference.predictor import attribute_voice


def person(synchrony, face=True, sound=True) -> ClipEmbedding:
    cue = np.asarray(synchrony, np.float32)[:, None]
    rows = np.zeros((len(cue), 1), np.float32)
    masks = (np.broadcast_to(mask, len(cue)).copy() for mask in (sound, face))
    return ClipEmbedding(rows, rows, *masks, np.arange(len(cue)) / 25, cue, ("synchrony",))


def voices(*people: ClipEmbedding) -> list[list[bool]]:
    return [mask.tolist() for mask in attribute_voice(people)]


def test_one_person_has_every_voice():
    assert voices(person([0.9, 0, -1])) == [[True] * 3]


def test_a_clear_speaker_takes_the_voice_from_the_others():
    assert voices(person([0.8, 0.1, 0.8]), person([0.1, 0.8, 0.1]), person([0, 0, 0])) == [
        [True, False, True],
        [False, True, False],
        [False, False, False],
    ]


def test_an_unclear_or_close_contest_leaves_it_to_all():
    assert voices(person([0.4, 0.8, np.nan]), person([0.1, 0.7, 0.2])) == [[True] * 3] * 2


def test_who_is_out_of_view_can_not_claim_it_but_loses_it_to_one_who_speaks():
    assert voices(person([0.9, 0.9], face=False), person([0.1, 0.7])) == [[True, False], [True, True]]


def test_where_there_is_no_sound_nobody_has_it():
    silent = np.array([False, True])
    assert voices(person([0.9, 0.9], sound=silent), person([0, 0], sound=silent)) == [[False, True], [False, False]]
