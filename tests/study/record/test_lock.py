"""One driver holds a study's lock, whoever looks; a file system without locks is said and worked on."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from anchoring import InputError
from study.record.lock import driving, is_held


def test_a_lock_is_held_while_it_is_driven(tmp_path: Path) -> None:
    assert is_held(tmp_path) is None
    with driving(tmp_path):
        assert is_held(tmp_path) is True
        with pytest.raises(InputError, match=rf"process {os.getpid()} on .*no other process"), driving(tmp_path):
            pass
    assert is_held(tmp_path) is False


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Any) -> None:
    def refuse(file: Any, kind: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(RuntimeWarning, match="has no locks"), driving(tmp_path):
        assert is_held(tmp_path) is None
