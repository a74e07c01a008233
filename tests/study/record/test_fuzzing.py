"""Whatever a file says, reading it ends soon, in a result or in one located line, and evaluates nothing.

The ordinary run tries a few hundred cases; `make soak` tries 20,000.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchoring import InputError
from anchoring.dopesheet import Dopesheet, rescale
from study.space import ranges
from study.space.document import write_setting
from study.space.space import Space

SPACES = Path(__file__).parents[3] / "search_spaces"
SHIPPED = {path.name: path.read_text() for path in sorted(SPACES.iterdir()) if path.suffix in (".toml", ".csv")}

CODE = "__import__('os').system('touch canary')"
NUMBERS = [
    *("0", "-0", "1", "-1", "4", "2000", "0.5", "1e-8", "1e308", "-1e308", "1e400", "1e-400", "nan", "inf", "-inf", "1_000"),
    *("٣", "²", "0x10", "1e999999999", "9" * 20, "9" * 400, "9" * 5000, "10_000_000", "9223372036854775808", "1e15"),
    *("+10", "-10", "+0.5", "-0.5", "+1.5", "+0.", "-.5", "+" + "9" * 20, "+5e-324", "+0.5e-999", "+", "-", "+-1"),
]  # fmt: skip
RANGES = [
    *("log(1e-4, 1)", "uniform(0, 1)", "int(1, 9)", "choice(1, 2)", "choice(red, vibrant)", "peak = log(0.1, 1)"),
    *("uniform(-1e308, 1e308)", "log(5e-324, 1e308)", f"int(0, {'9' * 20})", f"uniform(0, {'9' * 400})", "log(0, 1)"),
    *(f"choice({'9' * 400}, 1)", "choice('\x1b[31m', x)", "choice([/red], b)", "a = b = log(1, 2)", "log(log(1, 2), 3)"),
    *(f"int({'9' * 5000}, 3)", "choice(" + ", ".join(map(str, range(2000))) + ")", "peak", "log(", ")", f"choice({CODE}, 1)"),
]  # fmt: skip
WORDS = [
    *("", " ", "STEP", "PHASE", "lr", "lr:log", "lr:log:step", "a:b:c:d", "term", "title", "schedule", "labels", "model"),
    *("\x00", "\x1b[31m", "\u2028", "\x0b", "\r", "\n", "\t", "é", "\U0001f600", "'", '"', '"""', "'''", "\\", "#", "=", ","),
    *("../hue.csv", "/etc/passwd", "a\x00b", "hue.csv", "[", "]", "[[", "]]", "{", "}", "[a]", "a.b = 1", "true", "[]", "{}"),
    *("[" * 2000, "{a=" * 2000, "a." * 2000 + "a = 1", "a" * 300_000, "\n" * 2000, CODE, "${HOME}", "=cmd|' /C calc'!A0"),
]  # fmt: skip
FRAGMENTS = st.sampled_from(NUMBERS + RANGES + WORDS) | st.text(max_size=20)

CASES = [pytest.param(100, id="some"), pytest.param(4000, id="many", marks=pytest.mark.slow)]

_watched: list[str] | None = None
_FORBIDDEN = {
    *("compile", "exec", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen"),
    *("socket.connect", "ctypes.dlopen", "webbrowser.open"),
}


def _watch(event: Any, arguments: Any) -> None:
    if _watched is not None and event in _FORBIDDEN:
        _watched.append(f"{event}{arguments}")


sys.addaudithook(_watch)


@contextmanager
def nothing_evaluated() -> Iterator[Any]:
    """Fails if Python compiles, executes, unpickles, starts or calls anything meanwhile."""
    global _watched  # noqa: PLW0603
    seen: list[str] = []
    _watched = seen
    try:
        yield
    finally:
        _watched = None
    assert not seen


def read(parse: Any, where: Any) -> Any:
    """What `parse` makes of its input, or None if it said in one line, starting with one of `where`, what is wrong."""
    with nothing_evaluated():
        try:
            return parse()
        except InputError as error:
            said = str(error)
    assert said.startswith(where), said
    assert said.isprintable(), said  # so it is one line, and no terminal's codes
    return None


def fuzz(cases: Any, **strategies: Any) -> Any:
    """Run a function on many cases; one that takes ten seconds hangs."""

    def run(test: Any) -> None:
        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
        limits = settings(max_examples=cases, deadline=timedelta(seconds=10), suppress_health_check=checks)
        limits(given(**strategies)(test))()

    return run


@st.composite
def mutated(draw: Any, texts: Any) -> Any:
    """One of the shipped texts with a few of its tokens replaced, dropped, doubled or moved."""
    tokens = re.findall(r"[\w.+-]+|\s+|.", draw(st.sampled_from(texts)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens) - 1))
        match draw(st.sampled_from(["replace", "insert", "drop", "double", "move"])):
            case "replace":
                tokens[at] = draw(FRAGMENTS)
            case "insert":
                tokens.insert(at, draw(FRAGMENTS))
            case "drop":
                del tokens[at : at + draw(st.integers(1, 30))]
            case "double":
                tokens[at:at] = tokens[at : at + draw(st.integers(1, 60))]
            case "move":
                tokens.insert(draw(st.integers(0, len(tokens) - 1)), tokens.pop(at))
        tokens = tokens or [""]
    return "".join(tokens)


@pytest.fixture(autouse=True, scope="module")
def _everything_imported() -> None:
    """Modules are executed when they are first needed, which is no part of what is tested."""
    for name in SHIPPED:
        if name.endswith(".toml"):
            Space.read(SPACES / name)


def test_evaluation_would_be_seen() -> None:
    with pytest.raises(AssertionError, match="compile"), nothing_evaluated():
        eval("1 + 1")


@pytest.mark.parametrize("cases", CASES)
def test_ranges(cases: Any) -> None:
    grammar = st.from_regex(r"\w{0,3}\s*=?\s*(uniform|log|int|choice|\w+)\([^)]{0,30}\)", fullmatch=True)
    calls = st.builds(
        "{}({})".format,
        st.sampled_from(["log", "int", "uniform", "choice", "a = log"]),
        st.lists(FRAGMENTS, max_size=4).map(", ".join),
    )

    @fuzz(cases, text=st.text(max_size=60) | grammar | calls | FRAGMENTS)  # type: ignore[untyped-decorator]
    def _(text: Any) -> None:
        read(lambda: ranges.parse(text, "here"), "here: found ")


@pytest.mark.parametrize("cases", CASES)
def test_dopesheets_of_any_cells(cases: Any) -> None:
    header = st.lists(
        st.sampled_from(["STEP", "PHASE", "ACTION", "lr", "lr:log", "a", "a:log:step"]) | FRAGMENTS, max_size=4
    )
    cells = st.lists(st.lists(FRAGMENTS, max_size=4), max_size=4)

    @fuzz(  # type: ignore[untyped-decorator]
        cases,
        text=st.tuples(header.map(lambda h: ["STEP", *h]) | header, cells).map(lambda t: [t[0], *t[1]]),
        length=st.integers(1, 5000),
    )
    def _(text: Any, length: Any) -> None:
        sheet = read(lambda: Dopesheet.parse(text, "here"), "here: ")
        if sheet and len(sheet) < 100_000:
            assert all(len(values) == len(sheet) for values in sheet.table().values())
            read(lambda: rescale(text, length, "here"), "here: ")


@pytest.mark.parametrize("cases", [pytest.param(30, id="some"), CASES[1]])
@pytest.mark.parametrize("suffix", [".toml", ".csv"])
def test_shipped_files_changed_at_random(cases: Any, suffix: Any, tmp_path: Path) -> None:
    texts = [name for name in SHIPPED if name.endswith(suffix)]

    @fuzz(cases, name=st.sampled_from(texts), data=st.data(), steps=st.none() | st.integers(1, 5000))  # type: ignore[untyped-decorator]
    def _(name: Any, data: Any, steps: Any) -> None:
        stem = Path(name).stem
        for other, text in SHIPPED.items():
            (tmp_path / other).write_text(text)
        (tmp_path / name).write_bytes(data.draw(mutated([SHIPPED[name]])).encode("utf-8", "surrogatepass"))
        toml = tmp_path / f"{stem}.toml"
        space = read(lambda: Space.read(toml, steps), f"{tmp_path}/")
        if space:  # then what a study asks of it works, too
            assert "canary" not in space.setting(next(space.corners())).title
            ends = [list(space.corners())[i] for i in (0, -1)]
            for values in ends:
                document = read(lambda values=values: space.document(values), str(tmp_path))
                if document:
                    for old in tmp_path.glob("exported.*"):
                        old.unlink()
                    exported = Space.read(write_setting(document, tmp_path, "exported"))
                    assert exported.setting({}) == space.setting(values)

    assert not Path("canary").exists()


@pytest.mark.parametrize("cases", CASES)
def test_files_of_any_bytes(cases: Any, tmp_path: Path) -> None:
    @fuzz(  # type: ignore[untyped-decorator]
        cases,
        toml=st.binary(max_size=200)
        | mutated(list(SHIPPED.values())).map(lambda t: t.encode("utf-16", "surrogatepass")),
        csv=st.binary(max_size=200),
    )
    def _(toml: Any, csv: Any) -> None:
        (tmp_path / "any.toml").write_bytes(toml)
        (tmp_path / "any.csv").write_bytes(csv)
        read(lambda: Space.read(tmp_path / "any.toml"), f"{tmp_path / 'any'}")
        (tmp_path / "any.toml").write_bytes(b'schedule = "any.csv"')
        read(lambda: Space.read(tmp_path / "any.toml"), f"{tmp_path / 'any'}")
