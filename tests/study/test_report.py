import re

import pytest

from excolor import InputError
from study.report import write_report


def test_the_report_answers_with_pictures_and_without_the_network(hue):
    page = (hue.path / "report.html").read_text()
    best = hue.best().iloc[0]
    assert f"is trial {best.trial}: mean isolation {best['isolation.mean']:.3f}" in page
    pictures = re.findall(r"<img [^>]*src=\"data:image/png;base64,[^>]*>", page)
    assert len(pictures) >= 6
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "@import" not in page
    assert "Traceback" not in page
    assert "Warning" not in page
    assert "stderr" not in page  # no library's log lines


def test_a_report_can_be_written_again(hue):
    assert write_report(hue) == hue.path / "report.html"


def test_a_training_that_was_kept_has_a_report(spaces, tmp_path, command):
    done = command("train", spaces / "published.toml", "--seeds", 2, "--steps", 60, "--name", "one", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    done = command("report", "one", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "One setting, trained on its own" in (tmp_path / "one" / "report.html").read_text()


def test_nothing_to_report_is_one_line(hue, monkeypatch):
    monkeypatch.setattr(type(hue), "trials", hue.trials.assign(state="stopped"))
    with pytest.raises(InputError, match="found no complete trial"):
        write_report(hue)
