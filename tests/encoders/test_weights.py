"""Weights from their publishers: downloads that are cut, redirected or wrong, and exported networks read back."""

import hashlib
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from affwild2_tree import movie
from iaca.encoders import weights
from iaca.encoders.__main__ import main, table
from iaca.encoders.checkpoint import load_onnx, read_tensors
from iaca.encoders.config import EmbeddingConfig, Fetching, NoOptions, get_missing
from iaca.encoders.visual import EmotiEffNetB0, EmotiEffNetB0Expressions
from iaca.encoders.weights import PART, WEIGHTS, WeightFile, get, git_blob, locate
from iaca.engine import ClipPaths
from iaca.errors import InputError, StorageError
from iaca.faces import FaceConfig
from iaca.inference import InferenceConfig, Predictor
from iaca.inference.write import plan_inference
from iaca.media import MediaLimits
from iaca.pipelines.embedding.pipeline import plan_embeddings
from iaca.pipelines.ingestion.nodes import IngestionConfig
from project import ROOT

CONTENT = bytes(range(256)) * 4096  # 1 MiB
NAME = "weights.pth"
FILE = WeightFile(NAME, "a page", "MIT; trained on nothing", sha256=hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Publisher:
    """A server that misbehaves in a chosen way, and what it was asked for."""

    port: int = 0
    content: bytes = CONTENT
    cuts: int = 0  # answers that end early, half way through what was asked for
    ranges: bool = True
    status: int = 200
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{NAME}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range") or ""
        self.asked.append(f"{request.path} {asked}".strip())
        if request.path == "/moved":
            request.send_response(302)
            request.send_header("Location", f"/{NAME}")
            request.end_headers()
            return
        start = int(found[1]) if self.ranges and (found := re.match(r"bytes=(\d+)-", asked)) else 0
        if self.status != 200 or start >= len(self.content):
            request.send_error(self.status if self.status != 200 else 416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.end_headers()
        if self.cuts:
            self.cuts -= 1
            body = body[: len(body) // 2]
            request.close_connection = True
        request.wfile.write(body)


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """It has the weights of `resnet18`."""
    here = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(WEIGHTS, "resnet18", replace(FILE, url=here.url))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "weights").iterdir())


def test_a_file_is_downloaded_once_and_then_found(publisher: Publisher, tmp_path: Path) -> None:
    path = get("resnet18")
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == [NAME]
    assert get("resnet18") == locate("resnet18") == path
    assert len(publisher.asked) == 1


def test_a_file_in_the_place_of_the_folder_is_named(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    for place in ("cache", "cache/weights"):
        monkeypatch.setenv("IACA_WEIGHTS", str(tmp_path / place))
        with pytest.raises(InputError, match=rf"{place}: a file is in the place of this folder Remedy: move that file"):
            get("resnet18")
    assert publisher.asked == []


def test_a_cut_download_is_continued_where_it_ended(publisher: Publisher) -> None:
    publisher.cuts = 3
    assert get("resnet18").read_bytes() == CONTENT
    kept = [len(CONTENT) // 2, len(CONTENT) * 3 // 4, len(CONTENT) * 7 // 8]
    assert publisher.asked == [f"/{NAME}", *(f"/{NAME} bytes={n}-" for n in kept)]


def test_a_later_run_continues_what_an_earlier_one_has_left(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 503
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / (NAME + PART)).write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match=r"could not download from 127\.0\.0\.1: 503 .*what has arrived is kept"):
        get("resnet18")
    assert (tmp_path / "weights" / (NAME + PART)).read_bytes() == CONTENT[:1000]
    publisher.status, publisher.asked = 200, []
    assert get("resnet18").read_bytes() == CONTENT
    assert publisher.asked == [f"/{NAME} bytes=1000-"]


@pytest.mark.parametrize("left", [b"other bytes of an earlier version", CONTENT + b"more", CONTENT[:-1] + b"?"])
def test_what_is_left_of_another_file_is_thrown_away(publisher: Publisher, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / (NAME + PART)).write_bytes(left)
    assert get("resnet18").read_bytes() == CONTENT
    assert files(tmp_path) == [NAME]


def test_a_server_without_ranges_sends_the_file_from_its_start(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ranges = False
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / (NAME + PART)).write_bytes(CONTENT[:1000])
    assert get("resnet18").read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(publisher: Publisher, tmp_path: Path) -> None:
    publisher.content = CONTENT[::-1]
    with pytest.raises(InputError, match="not the published file: its checksum differs"):
        get("resnet18")
    assert files(tmp_path) == []


def test_a_page_that_is_gone_is_named_at_once(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 404
    with pytest.raises(InputError, match=r"127\.0\.0\.1 answered 404 Not Found"):
        get("resnet18")
    assert len(publisher.asked) == 1
    assert files(tmp_path) == []


def test_a_server_that_is_not_there_is_named(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WEIGHTS, "resnet18", replace(FILE, url="http://127.0.0.1:9/weights.pth"))
    with pytest.raises(InputError, match=r"could not download from 127\.0\.0\.1: .*refused.*go online"):
        get("resnet18")


def test_a_redirect_is_followed_unless_it_gives_up_encryption(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WEIGHTS, "resnet18", replace(FILE, url=publisher.url.replace(NAME, "moved")))
    assert get("resnet18").read_bytes() == CONTENT
    assert publisher.asked == ["/moved", f"/{NAME}"]
    request = weights.urllib.request.Request("https://example.org/a")
    with pytest.raises(weights.urllib.error.HTTPError, match="not encrypted"):
        weights._SafeRedirects().redirect_request(request, None, 302, "", None, "http://example.org/a")  # type: ignore[arg-type]


def test_the_id_in_the_publishers_git_repository_is_checked(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert git_blob(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # of `git hash-object`
    (tmp_path / "content").write_bytes(CONTENT)
    pinned = replace(FILE, sha256="", blob=git_blob(tmp_path / "content"), url=publisher.url)
    monkeypatch.setitem(WEIGHTS, "resnet18", pinned)
    assert get("resnet18").read_bytes() == CONTENT
    (tmp_path / "weights" / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="checksum differs"):
        locate("resnet18")


def test_the_command_says_licence_and_place_and_tries_the_others_when_one_fails(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(WEIGHTS, "hubert_base", replace(FILE, name="h.pth", sha256="", url=publisher.url))
    with pytest.raises(SystemExit) as stopped:
        main(["get", "resnet50_affectnet", "resnet18", "hubert_base"])
    said = capsys.readouterr()
    assert stopped.value.code == 1
    assert "resnet50_affectnet have to be downloaded by hand" in said.err
    assert "resnet18: weights.pth of a page; licence MIT; trained on nothing" in said.out
    assert re.search(r"resnet18: \S+weights/weights\.pth\n", said.out)
    assert said.out.endswith(f"weights/h.pth (no checksum known; sha256 {FILE.sha256}, compared from now on)\n")


def test_a_checkpoint_of_emotion2vec_is_got_and_read_as_tensors(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"d2v_model.blocks.0.norm1.weight": torch.arange(3.0)}
    torch.save({"args": None, "cfg": {"task": {"normalize": True}}, "model": state}, tmp_path / "published")
    publisher.content = (tmp_path / "published").read_bytes()
    checksum = hashlib.sha256(publisher.content).hexdigest()
    changed = replace(WEIGHTS["emotion2vec_plus_base"], url=publisher.url, sha256=checksum)
    monkeypatch.setitem(WEIGHTS, "emotion2vec_plus_base", changed)
    main(["get", "emotion2vec_plus_base"])
    assert "emotion2vec_plus_base.pt of huggingface.co/emotion2vec/emotion2vec_plus_base" in capsys.readouterr().out
    assert locate("emotion2vec_plus_base") == tmp_path / "weights/emotion2vec_plus_base.pt"
    torch.testing.assert_close(read_tensors(locate("emotion2vec_plus_base")), state)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_file_without_a_checksum_is_recorded_at_its_first_use_and_is_that_file_from_then_on(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    by_hand: bool,
) -> None:  # fmt: skip
    monkeypatch.setitem(WEIGHTS, "hubert_base", replace(FILE, name="h.pth", sha256="", url=publisher.url))
    file = tmp_path / "weights/h.pth"
    if by_hand:
        file.parent.mkdir()
        file.write_bytes(publisher.content)
        assert next(row[-1] for row in table() if row[1] == "hubert_base") == f"here: {file} (no checksum known)"
    else:
        get("hubert_base")
    assert f"no checksum of h.pth is known: its sha256 is {FILE.sha256}, recorded at this first use" in caplog.text
    assert subprocess.run(["sha256sum", "--check", "--quiet", "h.pth.sha256"], cwd=file.parent).returncode == 0
    caplog.clear()
    assert locate("hubert_base") == get("hubert_base") == file
    assert caplog.text == ""
    file.write_bytes(b"another")
    for use in (locate, get):
        with pytest.raises(InputError, match=r"h\.pth: checksum differs from the one recorded at .*h\.pth\.sha256"):
            use("hubert_base")
    (tmp_path / "weights/h.pth.sha256").unlink()
    assert locate("hubert_base") == file


def test_where_nothing_can_be_recorded_the_file_is_used_all_the_same(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(path: Path, text: str) -> None:
        raise StorageError("this folder can't be written to", path.parent)

    monkeypatch.setitem(WEIGHTS, "hubert_base", replace(FILE, name="h.pth", sha256=""))
    monkeypatch.setattr(weights, "write_text", read_only)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/h.pth").write_bytes(publisher.content)
    assert locate("hubert_base").name == "h.pth"
    assert "it can't be recorded" in caplog.text


def test_the_published_files_without_a_checksum_are_those_that_the_docs_name() -> None:
    page = (ROOT / "docs/reference/encoders.md").read_text()
    (named,) = re.findall(r"No checksum is known of (.+?):", page)
    assert set(re.findall(r"`(\w+)`", named)) == {name for name, file in WEIGHTS.items() if not file.pinned}


def test_a_licence_with_terms_is_accepted_first_and_once(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = replace(FILE, url=publisher.url, licence="CC BY-NC-SA 4.0", terms="not for commercial use")
    monkeypatch.setitem(WEIGHTS, "wav2vec2_vad", file)
    with pytest.raises(SystemExit):
        main(["get", "wav2vec2_vad"])
    said = capsys.readouterr()
    assert "the licence of wav2vec2_vad has not been accepted: CC BY-NC-SA 4.0 (not for commercial use)" in said.err
    assert "get wav2vec2_vad --accept-licence" in said.err
    assert publisher.asked == []
    main(["get", "wav2vec2_vad", "--accept-licence"])
    assert files(tmp_path) == [NAME, f"{NAME}.licence-accepted"]
    assert locate("wav2vec2_vad") == get("wav2vec2_vad")
    (tmp_path / "weights" / f"{NAME}.licence-accepted").unlink()  # as a file that was put there by hand
    with pytest.raises(InputError, match="has not been accepted"):
        locate("wav2vec2_vad")
    assert "--accept-licence" in next(row[-1] for row in table() if row[1] == "wav2vec2_vad")


def test_non_commercial_licences_have_terms_and_addresses_on_the_hub_are_pinned_or_said_not_to_be() -> None:
    assert {name for name, file in WEIGHTS.items() if file.terms} == {"wav2vec2_vad"}
    assert all(file.terms for file in WEIGHTS.values() if "NC" in file.licence)
    on_hub = {name: file for name, file in WEIGHTS.items() if "huggingface.co" in file.url}
    assert {name for name, file in on_hub.items() if not re.search(r"/resolve/[0-9a-f]{40}/", file.url)} == {
        name for name, file in on_hub.items() if not file.pinned
    }
    emotion2vec = {"emotion2vec_base", "emotion2vec_plus_base", "emotion2vec_plus_large"}  # published as .pt alone
    assert {name for name, file in on_hub.items() if not file.name.endswith(".safetensors")} == emotion2vec


# --- on first use ---

RESNET = EmbeddingConfig(visual="resnet18")
ON = Fetching(download=True)


def test_a_run_gets_what_is_missing_once_and_says_what_it_is(
    publisher: Publisher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    get_missing([RESNET, RESNET], ON)
    get_missing([RESNET], ON)
    assert files(tmp_path) == [NAME]
    assert publisher.asked == [f"/{NAME}"]
    assert "downloading weights.pth for resnet18 from a page; licence MIT; trained on nothing" in caplog.text


def test_by_default_nothing_connects(publisher: Publisher, tmp_path: Path) -> None:
    get_missing([RESNET], Fetching())
    parts = [ClipPaths({}, {}) for _ in range(3)]
    demo = IngestionConfig.model_validate({"importer": "demo"})
    with pytest.raises(InputError, match="weights of resnet18 are not on this machine"):
        plan_embeddings(*parts, RESNET, demo, tmp_path, pd.DataFrame())
    assert publisher.asked == []
    plan_embeddings(*parts, RESNET, demo, tmp_path, pd.DataFrame(), ON)
    assert publisher.asked == [f"/{NAME}"]


def test_a_file_that_is_there_is_left_to_its_owner_and_terms_are_accepted_by_hand(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / NAME).write_bytes(b"another file")
    get_missing([RESNET], ON)
    assert (tmp_path / "weights" / NAME).read_bytes() == b"another file"
    file = replace(FILE, name="vad.safetensors", url=publisher.url, terms="not for commercial use")
    monkeypatch.setitem(WEIGHTS, "wav2vec2_vad", file)
    with pytest.raises(InputError, match="licence of wav2vec2_vad has not been accepted"):
        get_missing([EmbeddingConfig(audio="wav2vec2_vad")], ON)
    with pytest.raises(InputError, match="resnet50_affectnet have to be downloaded by hand"):
        get_missing([EmbeddingConfig(visual="resnet50_affectnet")], ON)
    assert publisher.asked == []


def test_an_inference_gets_what_its_models_need_when_it_is_planned(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WEIGHTS, "enet_b0_8_va_mtl", replace(FILE, name="e.onnx", url=publisher.url))
    movie(tmp_path / "a.mp4", 5)
    config = InferenceConfig(input=str(tmp_path / "a.mp4"), output=str(tmp_path / "out"), model="zero_shot_heads")
    plan_inference(config, FaceConfig(), [], MediaLimits())
    assert publisher.asked == []
    plan_inference(config, FaceConfig(), [], MediaLimits(), ON)
    assert files(tmp_path) == ["e.onnx"]
    (tmp_path / "weights/e.onnx").unlink()
    with pytest.raises(InputError, match="not on this machine"):
        Predictor.load("zero_shot_heads")
    assert len(publisher.asked) == 1
    with pytest.raises(InputError, match=r"e\.onnx: not an ONNX file"):  # it has arrived, and is the stand-in's
        Predictor.load("zero_shot_heads", download=True).predict(tmp_path / "a.mp4")
    assert len(publisher.asked) == 2


def test_torchvision_knows_the_address_of_its_weights() -> None:
    for name in ("resnet18", "resnet50", "r2plus1d_18", "efficientnet_b0"):
        address = weights._address(WEIGHTS[name])
        assert address.startswith("https://")
        assert address.endswith(f"/{WEIGHTS[name].name}")


# --- ONNX ---


def small() -> nn.Sequential:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten()]
    network = nn.Sequential(*parts, nn.Linear(4 * 6 * 6, 2))
    varied(network)
    return network.eval()


def varied(network: nn.Module) -> None:
    """Normalisation with statistics other than those it starts with."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)


def export(network: nn.Module, example: Tensor, path: Path, merged: bool = True) -> Path:
    mode = torch.onnx.TrainingMode.EVAL if merged else torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(network.eval(), (example,), str(path), dynamo=False, training=mode)
    return path


@pytest.mark.parametrize("merged", [True, False])
def test_an_exported_network_is_read_back(tmp_path: Path, merged: bool) -> None:
    network, example = small(), torch.randn(1, 3, 8, 8)
    path = export(network, example, tmp_path / "a.onnx", merged)
    torch.manual_seed(1)
    other = nn.Sequential(*(type_of(part) for part in network))
    load_onnx(other, path, example)
    torch.testing.assert_close(other(example), network(example), atol=1e-6, rtol=1e-5)


def type_of(part: nn.Module) -> nn.Module:
    """A new part of the same shape, with other weights."""
    match part:
        case nn.Conv2d():
            return nn.Conv2d(part.in_channels, part.out_channels, part.kernel_size, bias=part.bias is not None)  # type: ignore[arg-type]
        case nn.BatchNorm2d():
            return nn.BatchNorm2d(part.num_features)
        case nn.Linear():
            return nn.Linear(part.in_features, part.out_features)
    return part


@pytest.mark.parametrize("cls", [EmotiEffNetB0, EmotiEffNetB0Expressions])
def test_emotiefflib_weights_come_from_their_onnx_file(tmp_path: Path, cls: type[EmotiEffNetB0]) -> None:
    class Published(nn.Module):
        def __init__(self, backbone: nn.Module):
            super().__init__()
            self.backbone = backbone

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.backbone.classifier(self.backbone.features(x).mean((2, 3)))  # type: ignore[operator]
            return logits

    torch.manual_seed(0)
    encoder = cls(NoOptions(), None)
    varied(encoder)
    path = export(Published(encoder.backbone), torch.randn(1, 3, 224, 224), tmp_path / "e.onnx")
    torch.manual_seed(1)
    faces = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(cls(NoOptions(), path)(faces), encoder.eval()(faces), atol=1e-5, rtol=1e-4)


CHANGES: dict[str, Callable[[nn.Sequential], nn.Sequential]] = {
    "file has further layers": lambda network: network[:4],
    "5 is a Linear, but nothing follows": lambda network: nn.Sequential(*network[:5], nn.Linear(144, 144), network[5]),
    "weight of 0 is": lambda network: nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), *network[1:4]),
}


@pytest.mark.parametrize("message", CHANGES)
def test_an_export_of_another_network_is_refused(tmp_path: Path, message: str) -> None:
    example, network = torch.randn(1, 3, 8, 8), small()
    exported, other = network, CHANGES[message](network)
    if "nothing" in message:  # the file is the shorter one
        exported, other = network[:5], nn.Sequential(*network)
    path = export(exported, example, tmp_path / "a.onnx")
    with pytest.raises(InputError, match=rf"a\.onnx: not the weights of this network: .*{message}"):
        load_onnx(other, path, example)


def test_a_damaged_or_diverged_export_is_refused(tmp_path: Path) -> None:
    example, network = torch.randn(1, 3, 8, 8), small()
    path = export(network, example, tmp_path / "a.onnx")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.onnx: not"):
        load_onnx(network, tmp_path / "cut.onnx", example)
    with torch.no_grad():
        network[3].weight[0] = torch.nan  # type: ignore[union-attr, index, operator]
    with pytest.raises(InputError, match="weight of 3 is not finite"):
        load_onnx(network, export(network, example, tmp_path / "nan.onnx"), example)


def test_a_name_that_is_no_encoder_is_refused_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["get", "resnet81", "qqq"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines() == [
        "there is no encoder 'resnet81' Remedy: did you mean resnet18? `python -m iaca.encoders` lists them",
        "there is no encoder 'qqq' Remedy: `python -m iaca.encoders` lists them",
    ]
