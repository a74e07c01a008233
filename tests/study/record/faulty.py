"""Run under a shim that makes calls of the file system fail: a search without Ray, cut off at each such call.

`python -m tests.study.record.faulty EMPTY WHOLE CALL ERRNO...` prints how many searches were cut off by each number.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import study
from study.record import recorder
from study.record.folder import StudyFolder
from tests.study.record.test_recorder import drive, mended


def main(empty: Path, whole: StudyFolder, call: str, code: str) -> int:
    """Cut a search off at each call in turn, and return at how many."""
    for moment in range(1000):
        path = shutil.copytree(empty, empty.with_name(f"{call}-{code}-{moment}"))
        os.environ["FAULT"] = f"{call} {code} {moment} {path}"
        try:
            drive(study.load(path))
        except OSError as error:  # which ends a study in one line
            if error.errno != int(code):
                raise
        else:
            return moment
        finally:
            del os.environ["FAULT"]
            mended(study.load(path), whole)
            shutil.rmtree(path)
    raise AssertionError("it is never whole")


if __name__ == "__main__":
    recorder.SPARED = 0  # the table is written each time
    empty, complete, call, *codes = sys.argv[1:]
    print(*(main(Path(empty), study.load(complete), call, code) for code in codes))
