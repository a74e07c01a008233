"""What strangers expect of a project holds together: one version, a lock that is whole, a workflow whose targets exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from trove_classifiers import classifiers

from study import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
ISSUE_FORMS = ("bug", "feature", "experiment")


def needed() -> Any:
    """The dependencies that `make .venv/ready` installs: those of the project and of its `dev` extra."""
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"], *extras["dashboard"]]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != "concept-study"]


def locked() -> Any:
    """The locked requirements by name, each with its marker; torch, which the Makefile names, among them."""
    torch = re.search(r"^TORCH := (.*)$", MAKEFILE, re.MULTILINE)[1]
    lines = [torch, *re.findall(r"^([\w.-]+==.*) \\$", LOCK, re.MULTILINE)]
    found: dict[str, Any] = {}
    for requirement in map(Requirement, lines):
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


# The version


def test_a_version_is_written_in_one_place() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT


def test_who_cites_it_cites_this_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


@pytest.mark.parametrize(
    "file", ["clusters/Dockerfile", "clusters/aws.yaml", "clusters/kuberay.yaml", "docs/cluster.md"]
)
def test_images_are_of_this_version(file: Any) -> None:
    assert set(re.findall(r"concept-study:([\w.]+)", (ROOT / file).read_text())) == {__version__.partition(".dev")[0]}


def test_the_changelog_begins_with_this_version() -> None:
    newest = re.search(r"^## (\S+), (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == __version__.partition(".dev")[0]
    assert newest[2] == "unreleased" if ".dev" in __version__ else re.fullmatch(r"\d{4}-\d\d-\d\d", newest[2])


# The lock


@pytest.mark.parametrize("requirement", [pytest.param(requirement, id=requirement.name) for requirement in needed()])
def test_what_is_needed_is_locked(requirement: Any) -> None:
    for found in locked()[canonicalize_name(requirement.name)]:
        (pinned,) = found.specifier
        assert pinned.operator == "=="
        assert requirement.specifier.contains(pinned.version, prereleases=True)


def test_every_file_has_a_hash() -> None:
    entries = re.split(r"\n(?=[\w.-]+==)", "\n" + LOCK)[1:]
    assert len(entries) == sum(map(len, locked().values())) - 1
    assert all("--hash=sha256:" in entry for entry in entries)


def test_nobody_downloads_cuda() -> None:
    assert not [name for name in locked() if re.match(r"nvidia|cuda|triton", name)]
    assert not re.search(r"^torch==", LOCK, re.MULTILINE)


def test_a_clusters_image_has_the_same_pytorch() -> None:
    assert f" {locked()['torch'][0]}\n" in (ROOT / "clusters" / "Dockerfile").read_text()


# The workflow


def steps() -> Any:
    return [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]


def test_the_workflow_runs_what_a_person_runs() -> None:
    assert set(WORKFLOW["jobs"]) == {"check", "unit", "live", "docs", "wheel"}
    targets = re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE)
    for command in steps():
        make, target, *_ = command.split()
        assert make == "make"
        assert target in targets


def test_the_workflow_runs_every_python_that_is_promised() -> None:
    promised = {text.rpartition(" :: ")[2] for text in PROJECT["classifiers"] if ":: Python ::" in text}
    for job in ("unit", "live"):
        assert set(WORKFLOW["jobs"][job]["strategy"]["matrix"]["python"]) == promised
    assert f">={min(promised, key=lambda text: int(text[2:]))}" == PROJECT["requires-python"]


def test_the_lowest_pytorch_is_the_projects() -> None:
    (lowest,) = WORKFLOW["jobs"]["unit"]["strategy"]["matrix"]["include"]
    (torch,) = [requirement for requirement in needed() if requirement.name == "torch"]
    (bound,) = [specifier.version for specifier in torch.specifier if specifier.operator == ">="]
    assert f"TORCH=torch=={bound}.0" in lowest["variables"]


# What strangers see


def test_classifiers_exist() -> None:
    assert set(PROJECT["classifiers"]) <= classifiers


@pytest.mark.parametrize("name", ISSUE_FORMS)
def test_an_issue_form_asks_and_needs_an_answer(name: Any) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_before_a_commit_the_same_is_checked() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]] == ["make check"]
