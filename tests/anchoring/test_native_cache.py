"""Native code is made once, kept, and made anew if it is damaged; compilers that fail say why."""

import os
import stat
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import torch
from platformdirs import PlatformDirs

from anchoring import native
from anchoring.native import build
from tests.anchoring.steps import compiled
from tests.conftest import nobody_known

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not native.compiler(), reason="there is no C++ compiler"),
    pytest.mark.usefixtures("session_cache"),
]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path)
    return tmp_path / "native"


def double(p: Any, x: Any, controls: Any) -> Any:
    return (2 * p,)


TWICE = double, [torch.ones(1, 3)], [torch.rand(1, 1, 5, 3)], torch.ones(1, 1)


def test_a_step_is_compiled_once_for_a_processor(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.equal(compiled(*TWICE)(*TWICE[1:])[0], torch.full((1, 3), 2.0))
    assert len(list(cache.iterdir())) == 1  # and nothing else is left
    with monkeypatch.context() as patch:
        patch.setattr(build, "_compile", lambda *arguments: pytest.fail("compiled again"))
        compiled(*TWICE)
    monkeypatch.setattr(build, "_target", lambda path: "another processor")
    compiled(*TWICE)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_file_is_made_anew(cache: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(*TWICE)
    (file,) = cache.iterdir()
    elsewhere = tmp_path / "elsewhere"  # another folder, since a loaded library is not read again
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: elsewhere)
    damaged = elsewhere / "native" / file.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(compiled(*TWICE)(*TWICE[1:])[0], torch.full((1, 3), 2.0))
    assert damaged.stat().st_size == file.stat().st_size


def test_the_cache_keeps_what_was_used_last(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "KEPT", 3)
    cache.mkdir()
    for age in range(5):
        old = cache / f"{age}.so"
        old.touch()
        os.utime(old, (1e9 - age, 1e9 - age))
    compiled(*TWICE)
    kept = {file.name for file in cache.iterdir()}
    assert len(kept) == 3
    assert {"0.so", "1.so"} < kept


def test_folders_with_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder / "its cache")
    compiled(*TWICE)
    assert len(list((folder / "its cache" / "native").iterdir())) == 1


def test_compilers_that_fail_say_why_in_a_line(cache: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert native.compiler() is None
    with pytest.raises(OSError, match=r"^found no C\+\+ compiler: .*CXX$"):
        compiled(*TWICE)
    fake = tmp_path / "compiler"
    fake.write_text(
        "#!/bin/sh\ncase $* in *-E*) exit 0;; esac\necho 'in file x:' >&2\necho 'x.cpp:1: error: no room' >&2\nexit 1\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    assert native.cannot_build().startswith("found no C++ compiler: ")
    monkeypatch.setenv("CXX", str(fake))
    with pytest.raises(OSError, match=r"^.*compiler cannot compile the step: no room$"):
        compiled(*TWICE)
    assert native.cannot_build().endswith("compiler cannot compile the step: no room")
    fake.write_text("not a program")
    with pytest.raises(OSError, match=r"^.*compiler does not run: .+$"):
        build._target.__wrapped__(str(fake))
    assert not list(cache.iterdir())


def test_a_machine_that_can_build_is_tried_once(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.cannot_build() == ""
    monkeypatch.setattr(build, "_compile", lambda *arguments: pytest.fail("compiled again"))
    assert native.cannot_build() == ""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: Path("/dev/null"))
    assert "/dev/null" in native.cannot_build()


def test_comments_do_not_matter(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build('extern "C" int answer() { return 1; }  // a comment')
    monkeypatch.setattr(build, "_compile", lambda *arguments: pytest.fail("compiled again"))
    assert build.build('extern "C" int answer() { return 1; }  // another').answer() == 1
    with pytest.raises(pytest.fail.Exception):
        build.build('extern "C" int answer() { return 2; }  // another')


def test_a_user_without_a_home_has_no_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    nobody_known(monkeypatch)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: PlatformDirs(name).user_cache_path)
    assert native.cannot_build() == "found no home to keep native code in: set HOME or XDG_CACHE_HOME"
