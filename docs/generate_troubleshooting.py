"""Write docs/reference/troubleshooting.md from the source: each `InputError` message, its place and its remedy.

python docs/generate_troubleshooting.py
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/iaca"
PAGE = ROOT / "docs/reference/troubleshooting.md"
FIELDS = ("problem", "file", "row", "remedy")
ERRORS = ("InputError", "StorageError", "OutOfMemoryError", "LimitError", "NotMadeError")
OPEN = "…"
OPEN_REMEDY = "see the message"
TITLES = {
    "media": "Media files", "faces": "Faces", "audio": "Sound", "encoders": "Encoders and weights", "fusion": "Models",
    "training": "Training and model files", "evaluation": "Evaluation and benchmark", "corpora": "Corpora",
    "files.py": "Files and disks", "text.py": "Texts and tables", "errors.py": "Texts and tables",
    "inference": "Inference",
    "engine": "Per-video work and clusters", "datasets": "Data catalog", "web": "Web page",
    "pipelines": "Pipelines", "hooks.py": "Environments", "refusals.py": "Environments", "cli.py": "Environments",
    "formats": "Tables of other tools",
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One way in which `InputError` is raised: its text, with … for what varies, and its remedy."""

    problem: str
    file: str
    remedy: str
    module: str


def messages(source: Path = SOURCE) -> list[Message]:
    """Every message of the package, in the order of the files."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(source.rglob("*.py"))}
    callers = _callers(trees)
    found = [message for path, tree in trees.items() for message in _of_module(tree, path, source, callers)]
    return list(dict.fromkeys(found))


def page(found: list[Message]) -> str:
    """The page, grouped by package."""
    groups: dict[str, list[Message]] = defaultdict(list)
    for message in found:
        groups[TITLES.get(message.module.split("/")[0], message.module.split("/")[0])].append(message)
    parts = [INTRODUCTION]
    for title, held in groups.items():
        parts.append(f"\n## {title}\n\n| message | names | remedy | raised in |\n|---|---|---|---|\n")
        parts += [f"| {_cell(m.problem)} | {_cell(m.file)} | {_cell(m.remedy)} | `{m.module}` |\n" for m in held]
    return "".join(parts)


def _of_module(tree: ast.Module, path: Path, source: Path, callers: Mapping[str, list[ast.Call]]) -> Iterator[Message]:
    module = str(path.relative_to(source))
    constants = _assigned(tree.body)
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
        nested = {id(n) for f in ast.walk(function) if isinstance(f, ast.FunctionDef) and f is not function
                  for n in ast.walk(f)}  # fmt: skip
        names = {**constants, **_assigned(list(ast.walk(function)))}
        arguments = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
        for call in [n for n in ast.walk(function) if _raises(n) and id(n) not in nested]:
            given = _fields(call)
            outer = callers.get(function.name, []) if _names(given) & set(arguments) else []
            for bound in [_bound(c, arguments) for c in outer] or [{}]:
                yield _message(given, {**names, **{k: [v] for k, v in bound.items()}}, module)


def _message(given: Mapping[str, ast.expr], names: Mapping[str, list[ast.expr]], module: str) -> Message:
    said = {field: _text(given[field], names) if field in given else "" for field in FIELDS}
    about = ", ".join(field for field in ("file", "row") if field in given)
    remedy = said["remedy"] or advice(module, said["problem"])
    return Message(said["problem"], about, remedy if remedy.strip(OPEN) else OPEN_REMEDY, module)


def advice(module: str, problem: str) -> str:
    """The remedy in `ADVICE` for a message that has none of its own, or ""."""
    return next((text for (file, part), text in ADVICE.items() if module == file and part in problem), "")


def _text(node: ast.expr, names: Mapping[str, list[ast.expr]], depth: int = 0) -> str:
    """The text of an expression, as far as the source determines it."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names, depth) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, names, depth)
    if isinstance(node, ast.IfExp):
        return " / ".join(dict.fromkeys(_text(part, names, depth) for part in (node.body, node.orelse)))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, names, depth) + _text(node.right, names, depth)
    if isinstance(node, ast.Name) and depth < 3 and node.id in names:
        said = [_text(value, names, depth + 1) for value in names[node.id]]
        return " / ".join(dict.fromkeys(text for text in said if text.strip(OPEN))) or OPEN
    return OPEN


def _assigned(nodes: list[ast.stmt] | list[ast.AST]) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(node.value)
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    for name, value in zip(target.elts, node.value.elts, strict=False):
                        if isinstance(name, ast.Name):
                            found[name.id].append(value)
        elif isinstance(node, ast.NamedExpr):
            found[node.target.id].append(node.value)
    return found


def _raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS


def _fields(call: ast.Call) -> dict[str, ast.expr]:
    named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    return {**dict(zip(FIELDS, call.args, strict=False)), **named}


def _names(given: Mapping[str, ast.expr]) -> set[str]:
    said = [given[field] for field in ("problem", "remedy") if field in given]
    return {n.id for expression in said for n in ast.walk(expression) if isinstance(n, ast.Name)}


def _callers(trees: Mapping[Path, ast.Module]) -> dict[str, list[ast.Call]]:
    """Calls of functions, by name: a message passed as an argument is found at the callers."""
    found: dict[str, list[ast.Call]] = defaultdict(list)
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name.startswith("_"):
                found[name].append(node)
    return found


def _bound(call: ast.Call, arguments: list[str]) -> dict[str, ast.expr]:
    named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    return {**dict(zip(arguments, call.args, strict=False)), **named}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


WHY = "../decisions/0001-what-dvc-holds-and-what-kedro-versions.md"
INTRODUCTION = f"""# Troubleshooting

Every error message about bad input, with its remedy. `python docs/generate_troubleshooting.py` writes this page from
the source, and a test fails when it is out of date. `…` stands for what varies: a name, a number, the allowed values.
Search this page for a part of your message.

On screen a message reads `FILE, line ROW: PROBLEM Remedy: WHAT TO DO`. One broken clip never stops the others: its
message is a row of `failures.csv` in the folder of results, or of the table of problems that ingestion writes. What
Kedro refuses before anything runs (an unknown parameter, a value out of range) names the parameter and the values it
accepts.

| symptom | what to do or know |
|---|---|
| a run was killed | repeat the command: finished work is kept, and training continues from its last epoch |
| a clip is in `failures.csv` | fix or remove its file and repeat the command: only failed clips are processed again |
| `dvc repro` trains again after a plain `kedro run` | Kedro wrote a new version of the model ([why]({WHY})) |
| everything is rebuilt after an update | intended: the code of that step has a new `VERSION` |
| a traceback through `kedro/framework/project/__init__.py` before anything is logged | `conf/logging.yml` is broken \
or can't be opened, and `kedro` reads it before any code of this project. Restore it \
(`git checkout conf/logging.yml`), or name another (`KEDRO_LOGGING_CONFIG=FILE`) |
| results differ in the last digits on another machine | other processors sum floating-point numbers in another order |
"""
SHAPES = "give tensors as `FusionConfig` says: (b, t, D) for modalities, (b, t) for masks, (b, t, q) for cues"
ONE_CLIP = "give the table of one clip, as `Predictor.predict` returns it or `NAME.csv` holds it"
EVALUATE = "run training and evaluation again, on a corpus with an annotated partition"
ONE_ROW = "give one row per frame of each clip, in predictions and annotations"
ADVICE = {  # (module, part of the message) -> remedy of messages that have none of their own
    ("corpora/convert.py", "no annotated recording can be converted"): "fix the named problem, then convert again",
    ("encoders/weights.py", "are not on this machine"): "run the command of the message",
    (
        "encoders/weights.py",
        "checksum of",
    ): "delete it and fetch it again: `python -m iaca.encoders get NAME`",
    ("evaluation/events.py", "an event of clip"): "swap start_s and end_s of that row",
    ("evaluation/figures.py", "no gate across modalities"): "use a model with a second stage to draw gates",
    ("evaluation/figures.py", "is not among the predictions"): "name a clip that was predicted",
    ("evaluation/metrics.py", "must have the same length"): ONE_ROW,
    ("evaluation/metrics.py", "more than once"): ONE_ROW,
    ("evaluation/metrics.py", "not run on the same clips"): "predict the same clips with both models before comparing",
    ("evaluation/score.py", "in the files; fix all of them"): "fix what each line names",
    ("evaluation/tables.py", "no predictions to compare"): EVALUATE,
    ("evaluation/tables.py", "no predictions of the main model"): EVALUATE,
    ("evaluation/tables.py", "no frame of the labels is annotated"): EVALUATE,
    ("evaluation/tables.py", "the comparison has no row"): EVALUATE,
    ("files.py", "not a file"): "give a regular file",
    ("fusion/attention.py", "but the batch has"): SHAPES,
    ("fusion/model.py", "but the model reads"): SHAPES,
    ("fusion/model.py", "but the model was built for"): SHAPES,
    ("fusion/model.py", "audio has (b, t)"): SHAPES,
    ("inference/overlay.py", "lack the columns"): ONE_CLIP,
    ("inference/overlay.py", "an overlay shows one clip"): ONE_CLIP,
    ("inference/plot.py", "no predictions to draw"): ONE_CLIP,
}

if __name__ == "__main__":
    PAGE.write_text(page(messages()))
