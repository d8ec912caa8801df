"""The overlay marks what it should, leaves the rest of the picture alone, and can be read on a phone."""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import pytest

from iaca.errors import InputError
from iaca.inference import overlay as canvas
from iaca.inference.overlay import Dial, OverlayPainter


@dataclass(frozen=True)
class Frame:
    index: int
    time_s: float
    image: np.ndarray


def table(frames: int = 60) -> pd.DataFrame:
    time_s = np.arange(frames) / 25
    return pd.DataFrame(
        {
            "clip": "a",
            "frame": np.arange(frames),
            "time_s": time_s,
            "valence": 0.6 * np.sin(time_s),
            "arousal": 0.4 * np.cos(time_s),
            "face_found": True,
            "audio_present": True,
            "gate_modalities_audio": 0.62,
            "gate_modalities_visual": 0.38,
            "x0": 200.0,
            "y0": 100.0,
            "x1": 300.0,
            "y1": 220.0,
        }
    )


def grey(index: int, width: int = 640, height: int = 360) -> Frame:
    return Frame(index, index / 25, np.full((height, width, 3), 128, np.uint8))


def painted(predictions: pd.DataFrame, index: int = 30, width: int = 640, height: int = 360):
    painter = OverlayPainter(predictions, width, height)
    image = painter(grey(index, width, height))
    return image[: painter.picture[1]], image[painter.picture[1] :]


def has_colour(image: np.ndarray, colour: canvas.Colour) -> bool:
    return bool((image == np.array(colour, np.uint8)).all(axis=2).any())


def test_the_picture_is_changed_along_the_box_and_nowhere_else():
    picture, _ = painted(table())
    changed = (picture != 128).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed[100, 205]
    assert (rows.min(), rows.max()) == pytest.approx((100, 220), abs=4)
    assert (columns.min(), columns.max()) == pytest.approx((200, 300), abs=4)
    assert not changed[110:210, 210:290].any()


def test_a_frame_without_a_face_has_no_box_but_a_notice():
    gone = table().assign(face_found=False, x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan)
    picture, _ = painted(gone)
    changed = (picture != 128).any(axis=2)
    assert changed[:50, :150].any()
    assert not changed[50:].any()


def test_silence_adds_a_second_notice():
    one, _ = painted(table().assign(face_found=False))
    two, _ = painted(table().assign(face_found=False, audio_present=False))
    assert (two[:50] != 128).any(axis=2).sum() > (one[:50] != 128).any(axis=2).sum()


def test_the_gate_bar_is_divided_as_the_weights_are():
    _, panel = painted(table())
    audio, visual = ((panel[66] == np.array(colour)).all(axis=1).sum() for colour in (canvas.AUDIO, canvas.VISUAL))
    assert audio / (audio + visual) == pytest.approx(0.62, abs=0.01)


def test_a_model_with_one_modality_shows_no_gates():
    bare = table().drop(columns=["gate_modalities_audio", "gate_modalities_visual", "x0", "y0", "x1", "y1"])
    picture, panel = painted(bare)
    assert (picture == 128).all()
    assert not has_colour(panel, canvas.AUDIO)
    assert has_colour(panel, canvas.VALENCE)


def test_a_frame_without_prediction_has_neither_point_nor_bars():
    missing = ["valence", "arousal", "gate_modalities_audio", "gate_modalities_visual"]
    _, panel = painted(table().assign(**dict.fromkeys(missing, np.nan)))
    assert not any(
        has_colour(panel, colour) for colour in (canvas.VALENCE, canvas.AROUSAL, canvas.AUDIO, canvas.VISUAL)
    )


def test_a_frame_that_is_not_in_the_table_gets_the_empty_panel():
    picture, panel = painted(table(), index=999)
    assert (picture[:50, :200] != 128).any()
    assert not has_colour(panel, canvas.VALENCE)


def test_the_meter_grows_from_the_middle_to_the_side_of_its_sign():
    columns = []
    for value in (-0.8, 0.8):
        _, panel = painted(table().assign(valence=value))
        columns.append(np.flatnonzero((panel[47] == np.array(canvas.VALENCE)).all(axis=1)))
    assert columns[0].max() <= columns[1].min()
    assert len(columns[0]) == pytest.approx(len(columns[1]), abs=2)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (641, 361), (1080, 1920), (200, 90)])
def test_sizes_are_even_and_at_least_640_wide(width, height):
    painter = OverlayPainter(table(), width, height)
    image = painter(grey(3, width, height))
    assert image.shape == (painter.size[1], painter.size[0], 3)
    assert image.dtype == np.uint8
    assert painter.size[0] >= 640
    assert painter.size[0] % 2 == painter.size[1] % 2 == 0


def test_the_box_is_enlarged_with_the_picture():
    picture, _ = painted(table().assign(x0=100.0, x1=200.0, y0=50.0, y1=150.0), width=320, height=240)
    rows, columns = np.nonzero((picture != 128).any(axis=2))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx((200, 400, 100, 300), abs=4)


def test_frames_may_come_in_any_order_and_are_not_drawn_on():
    painter = OverlayPainter(table(), 640, 360)
    frame = grey(40)
    first = painter(frame)
    painter(grey(5))
    assert (painter(frame) == first).all()
    assert (frame.image == 128).all()


def test_rows_of_the_table_may_come_in_any_order():
    mixed = table().sample(frac=1, random_state=0)
    for index in (5, 30):
        for found, expected in zip(painted(mixed, index), painted(table(), index), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_trail_holds_no_more_than_its_length():
    moved = table()
    moved.loc[:4, ["valence", "arousal"]] = -0.9  # 2.2 s before frame 59
    short, long = (OverlayPainter(moved, 640, 360, trail_s=s)(grey(59))[360:] for s in (2.0, 10.0))
    start = Dial(66, 60, 50, 1).place(-0.9, -0.9)
    spot = np.s_[round(start[1]) - 2 : round(start[1]) + 3, round(start[0]) - 2 : round(start[0]) + 3]
    assert (short[spot] != long[spot]).any()


def test_a_point_outside_the_circle_stays_on_its_rim():
    dial = Dial(0, 0, 50, 1)
    assert dial.place(1, 0) == (50, 0)
    assert dial.place(0, 0.5) == (0, -25)
    assert np.hypot(*dial.place(0.9, 0.9)) == pytest.approx(50)


@pytest.mark.parametrize("stamp", ["zero-shot heuristic", "adapted heuristic, fitted to a corpus of long name, " * 3])
@pytest.mark.parametrize(("width", "height"), [(640, 360), (160, 90), (404, 720), (1920, 1080)])
def test_the_stamp_has_a_line_of_its_own_on_every_frame_and_is_not_cut_off(stamp, width, height):
    for index in (3, 999):  # with a row of the table, and without
        plain, named = (
            OverlayPainter(table(), width, height, stamp=words)(grey(index, width, height)) for words in ("", stamp)
        )
        assert (named[: len(plain)] == plain).all()
        line = named[len(plain) :].astype(int)
        assert line.shape[0] % 2 == 0
        assert len(line) >= 24
        written = np.argwhere((np.abs(line - np.array(canvas.AROUSAL)) < 60).all(axis=2))
        assert written.size
        assert (written.min(axis=0) >= 2).all()
        assert (written.max(axis=0) <= np.array(line.shape[:2]) - 3).all()


@pytest.mark.parametrize("value", [0.001, -0.001, 0.0])
def test_no_zero_is_negative(value):
    shown, zero = (painted(table().assign(valence=v))[1][:40, 300:380] for v in (value, 0.0))
    assert (shown == zero).all()


def test_a_table_of_two_clips_is_refused():
    with pytest.raises(InputError, match="2"):
        OverlayPainter(pd.concat([table(), table().assign(clip="b")]), 640, 360)
    with pytest.raises(InputError, match="arousal"):
        OverlayPainter(table().drop(columns="arousal"), 640, 360)


def test_several_people_have_numbered_boxes_and_a_row_each_up_to_three():
    one = table()
    others = [one.assign(x0=x, x1=x + 60, y0=200.0, y1=280.0) for x in (20.0, 420.0, 540.0)]
    for count in (2, 4):
        painter = OverlayPainter([one, *others][:count], 640, 360)
        image = painter(grey(30))
        assert image.shape[0] == 360 + min(count, 3) * canvas.PANEL_HEIGHT
        picture, rows = image[:360], image[360:]
        for number, colour in enumerate(canvas.PEOPLE[:count]):
            assert has_colour(picture, colour)
            assert has_colour(rows[:, :40], colour) == (number < 3)
    assert not has_colour(OverlayPainter(one, 640, 360)(grey(30))[360:, :40], canvas.PEOPLE[0])


def test_a_notice_tells_of_several_people_only_what_nobody_has():
    gone = table().assign(face_found=False, audio_present=False, x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan)
    for other, noticed in ((table(), False), (gone, True)):
        image = OverlayPainter([gone, other.assign(x0=np.nan)], 640, 360)(grey(30))
        assert (image[:50] != 128).any() == noticed


def test_the_bar_of_disagreement_is_as_long_as_the_inconsistency():
    lengths = []
    for value in (0.25, 0.75):
        _, panel = painted(table().assign(inconsistency=value))
        shade = canvas.WHITE if value > 0.5 else canvas.DIM
        lengths.append((panel[108] == np.array(shade)).all(axis=1).sum())
    assert lengths == pytest.approx([0.25 * 216, 0.75 * 216], abs=1)
    for without in (table(), table().assign(inconsistency=np.nan)):
        _, bare = painted(without)
        assert not (bare[108, 412:628] == np.array(canvas.RAISED)).all(axis=1).any()
    _, unusual = painted(table().assign(inconsistency=0.97))
    assert (unusual[108] == np.array(canvas.AROUSAL)).all(axis=1).any()


def test_everything_below_the_picture_grows_with_it(monkeypatch: pytest.MonkeyPatch):
    """A panel of three times the width is the same drawing at three times the size, with the texts in their places."""
    texts: list[list[tuple[str, float, float, float]]] = [[], []]
    panels = []
    clip = table().assign(inconsistency=0.97, valence_low=0.2, valence_high=0.9, arousal_low=-0.4, arousal_high=0.3)
    for found, size in zip(texts, ((640, 360), (1920, 1080)), strict=True):
        monkeypatch.setattr(
            canvas,
            "draw_text",
            lambda image, text, x, y, size, *rest, found=found, **more: found.append((text, x, y, size)),
        )
        panels.append(painted(clip, 30, *size)[1].astype(float))
    panel, large = panels
    assert large.shape == (3 * panel.shape[0], 3 * panel.shape[1], 3)
    small = large.reshape(panel.shape[0], 3, panel.shape[1], 3, 3).mean(axis=(1, 3))
    off = cv2.blur(small, (7, 7)) - cv2.blur(panel, (7, 7))
    assert np.abs(off).max() < 50
    assert [text for text, *_ in texts[1]] == [text for text, *_ in texts[0]]
    for (_, *place), (text, *enlarged) in zip(*texts, strict=True):
        assert enlarged == pytest.approx([3 * number for number in place], abs=1e-6), text


def test_text_is_thin_and_begins_at_its_place_unless_asked_otherwise():
    def drawn(**options) -> np.ndarray:
        image = np.zeros((40, 300, 3), np.uint8)
        canvas.draw_text(image, "valence", 150, 30, 20, canvas.WHITE, **options)
        return image

    plain, bold = drawn(), drawn(bold=True)
    assert (plain == drawn(bold=False, align="left")).all()
    assert bold.sum() > 1.1 * plain.sum()
    width = canvas.text_width("valence", 20)
    assert width == canvas.text_width("valence", 20, bold=False)
    for align, left in (("left", 150), ("centre", 150 - width / 2), ("right", 150 - width)):
        columns = np.flatnonzero(drawn(align=align).any(axis=(0, 2)))
        assert [columns[0], columns[-1]] == pytest.approx([left, left + width], abs=3)


def test_a_whisker_spans_the_interval():
    ends = {"valence_low": -0.5, "valence_high": 0.5, "arousal_low": np.nan, "arousal_high": np.nan}
    _, panel = painted(table().assign(**ends, inconsistency=0.5))
    _, bare = painted(table().assign(inconsistency=0.5))
    changed = np.flatnonzero((panel != bare).any(axis=(0, 2)))
    middle, half = (136 + 376) / 2, (376 - 136) / 2
    assert [changed[0], changed[-1]] == pytest.approx([middle - half / 2, middle + half / 2], abs=2)


def test_a_trail_is_broken_where_nothing_is_known():
    whole, broken = (np.zeros((120, 640, 3), np.uint8) for _ in range(2))
    trail = np.stack([np.linspace(-0.9, 0.9, 41), np.zeros(41)], axis=1)
    Dial(66, 60, 50, 1).draw_point(whole, trail)
    trail[15:25] = np.nan
    Dial(66, 60, 50, 1).draw_point(broken, trail)
    assert whole[58:63, 60:72].any()
    assert not broken[58:63, 60:72].any()
    assert (broken[:, 105:] == whole[:, 105:]).all()


def box_edges(picture: np.ndarray) -> list[int]:
    """Left, top, right and bottom of what is drawn on a grey picture; black bars are not drawn."""
    rows, columns = np.nonzero((picture != 128).any(axis=2) & (picture != 0).any(axis=2))
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def test_in_a_smaller_frame_the_box_is_on_the_face():
    half = table()
    half.loc[30:, ["x0", "y0", "x1", "y1"]] /= 2
    painter = OverlayPainter(half, 640, 360)
    whole, small = (painter(frame)[: painter.picture[1]] for frame in (grey(20), grey(30, 320, 180)))
    assert box_edges(small) == pytest.approx(box_edges(whole), abs=1)
    assert box_edges(small) == pytest.approx([200, 100, 300, 220], abs=4)


def test_a_frame_of_another_shape_keeps_it_and_is_in_the_middle():
    turned = table().assign(x0=50.0, y0=100.0, x1=90.0, y1=150.0)
    painter = OverlayPainter(turned, 640, 360)
    picture = painter(grey(30, 180, 360))[: painter.picture[1]]
    assert box_edges(picture) == pytest.approx([280, 100, 320, 150], abs=4)
    assert not picture[:, :230].any()
    assert not picture[:, 410:].any()
    assert (picture[300:, 230:410] == 128).all()


def test_the_values_of_the_frame_are_named_below_the_dial(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    draw = canvas.draw_text
    monkeypatch.setattr(
        canvas, "draw_text", lambda image, text, *rest, **more: (said.append(text), draw(image, text, *rest, **more))
    )
    clip = table().assign(valence=-0.5, arousal=0.6)
    _, panel = painted(clip)
    assert "unpleasant, active: near “angry”" in said
    assert (panel[120:134, 14:200] == np.array(canvas.DIM)).all(axis=-1).any()  # and nothing is cut off or covered
    assert not (panel[134:] != np.array(canvas.PANEL)).any()
    for values, expected in (((0.05, -0.05), "neutral"), ((0.9, -0.9), "pleasant, passive"), ((np.nan, 0.4), None)):
        said.clear()
        painted(table().assign(valence=values[0], arousal=values[1]))
        assert (expected in said) if expected else not any("," in text for text in said)
    said.clear()
    painted(table().assign(valence=np.where(np.arange(60) < 30, -0.5, 0.1), arousal=0.6), index=30)
    assert any(text.startswith("pleasant, active") for text in said)  # whatever the frames before were
