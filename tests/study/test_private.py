"""What is used of libraries although it is not public: each does what we take it for, and there is no more of it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import io
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray import tune
from ray.tune import registry
from ray.tune.schedulers import MedianStoppingRule
from rich.console import Console

import analysis
import anchoring
import anchoring.private
import excolor
import study
from study import private

ROOT = Path(study.__file__).parent.parent
DOORS = {"study/private.py", "anchoring/private.py"}

OVERRIDDEN = {
    "BoundedTPE._get_internal_repr",
    "Screen._check_buffer",
    "_Kernel._kernel_spec_manager_default",  # a default of traitlets, which is named so
    "_Median._on_insufficient_samples",
}
"""Methods of other people's classes that are not public and that we override."""


@pytest.fixture
def search(tmp_path: Path) -> optuna.Study:
    """A second study in a journal, so that the storage's names of its trials are not their numbers."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    optuna.create_study(storage=storage).ask()
    return optuna.create_study(storage=storage, direction="maximize")


def test_a_study_has_its_storage_and_its_journal(search: optuna.Study, tmp_path: Path) -> None:
    assert search.study_name in {one.study_name for one in private.storage(search).get_all_studies()}
    private.backend(search).append_logs([{"op_code": 0}])
    assert (tmp_path / "journal").read_text().endswith('{"op_code":0}\n')


def test_a_trial_has_a_name_in_the_storage(search: optuna.Study) -> None:
    asked = [search.ask() for _ in range(3)]
    for trial, frozen in zip(asked, search.trials, strict=True):
        assert private.identifier(trial) == private.identifier(frozen)
        assert trial.storage.get_trial(private.identifier(trial)).number == trial.number
    assert private.identifier(asked[0]) != asked[0].number
    assert private.storage(search) is asked[0].storage


def test_a_trial_that_ran_is_asked_for_again(search: optuna.Study) -> None:
    search.ask()
    private.set_state(search, search.trials[0], TrialState.WAITING)
    assert search.ask().number == 0
    private.set_state(search, search.trials[0], TrialState.FAIL)
    assert search.trials[0].state == TrialState.FAIL


def test_a_waiting_trial_gets_its_parameters(search: optuna.Study) -> None:
    search.enqueue_trial({})
    private.fix_parameters(search, search.trials[0], {"rate": 0.25})
    asked = search.ask()
    assert asked.suggest_float("rate", 0, 1) == 0.25


def test_good_trials_are_the_best(search: optuna.Study) -> None:
    for value in (3.0, 1.0, 4.0, 2.0):
        search.tell(search.ask(), value)
    assert [trial.number for trial in private.good_trials(search, search.trials, 2)] == [0, 2]


def test_tpe_computes_the_same_with_scipys_normal_distribution() -> None:
    private.quicken_normals()
    name = "optuna.samplers._tpe._truncnorm"
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.loader
    own: Any = importlib.util.module_from_spec(spec)  # as nobody has changed it
    spec.loader.exec_module(own)
    quick: Any = importlib.import_module(name)
    assert quick._log_ndtr is not own._log_ndtr
    assert quick.erf is not own.erf
    random = np.random.default_rng(0)
    low, high = np.sort(random.normal(scale=8, size=(2, 500)), axis=0)
    shares = random.random(500)
    places = quick.ppf(shares, low, high)
    np.testing.assert_allclose(places, own.ppf(shares, low, high), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(quick.logpdf(places, low, high), own.logpdf(places, low, high), rtol=1e-9)


def test_tune_remembers_what_trials_run(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = create_autospec(registry._Registry.get, side_effect=registry._Registry.get)
    monkeypatch.setattr(registry._Registry, "get", looked)
    tune.register_trainable("ours", lambda config: None)
    try:
        with private.trainables_remembered():
            kept = [registry.get_trainable_cls("ours") for _ in range(3)]
        assert kept == [kept[0]] * 3
        assert looked.call_count == 1
        registry.get_trainable_cls("ours")
        assert looked.call_count == 2
    finally:
        registry._global_registry.unregister(registry.TRAINABLE_CLASS, "ours")


def test_tpe_calls_what_is_overridden(search: optuna.Study) -> None:
    """And with nothing else than the sampler expects."""
    called = set()

    class Watched(TPESampler):
        def _get_internal_repr(self, trials: Any, search_space: Any, study: Any) -> Any:
            called.add("_get_internal_repr")
            assert study._get_trials(deepcopy=False, states=(TrialState.COMPLETE,), use_cache=True)
            return super()._get_internal_repr(trials, search_space, study)

    search.sampler = Watched(seed=0, n_startup_trials=2, multivariate=True)
    for _ in range(5):
        trial = search.ask()
        search.tell(trial, trial.suggest_float("rate", 0, 1))
    assert called == {"_get_internal_repr"}
    text = inspect.getsource(TPESampler)
    assert "study._get_trials(" in text
    assert "study.get_trials(" not in text  # which would pass our view by


def test_rays_median_rule_asks_when_there_are_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = MedianStoppingRule("rung", "score", "max", grace_period=0, min_samples_required=3)
    trial: Any = type("Trial", (), {"trial_id": "a"})()
    controller: Any = None
    monkeypatch.setattr(rule, "_on_insufficient_samples", lambda *given: given)
    answer: Any = rule.on_trial_result(controller, trial, {"rung": 1, "score": 0.5})
    assert answer == (controller, trial, 1)
    assert rule._results[trial] == [{"rung": 1, "score": 0.5}]


def test_trials_need_no_environment_of_their_own() -> None:
    tune = "from ray.tune.execution.class_cache import _ActorClassCache as Cache"
    ask = f"{tune}; print(Cache().get(type('Trial', (), dict()))._default_options['runtime_env'])"
    share = f"from study import private; private.share_workers(); {ask}"
    said = [subprocess.check_output([sys.executable, "-c", script], text=True).strip() for script in (ask, share)]
    assert said == ["{'env_vars': {'PL_DISABLE_FORK': '1'}}", "{}"]


def test_rich_writes_its_buffer_where_we_look(monkeypatch: pytest.MonkeyPatch) -> None:
    console, buffers = Console(file=(written := io.StringIO())), []
    monkeypatch.setattr(console, "_check_buffer", lambda: buffers.append([segment.text for segment in console._buffer]))
    console.print("a word")
    assert ["a word", "\n"] in buffers
    assert written.getvalue() == ""
    console._write_buffer()
    assert written.getvalue() == "a word\n"
    assert console._buffer == []


def test_ray_takes_loopback_for_its_address() -> None:
    """`study.cluster.loopback` looks at the sockets of each Ray that starts."""
    ask = "from ray._private.services import get_node_ip_address; print(get_node_ip_address())"
    keep = f"from study import private; private.keep_on_loopback(); {ask}"
    done = subprocess.run([sys.executable, "-c", keep], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "127.0.0.1"


def test_pytorch_has_rules_to_decompose_operators_by() -> None:
    aten = torch.ops.aten
    rule = anchoring.private.decomposition_table[aten.addcmul.default]
    one, two, three = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(rule(one, two, three, value=2), one + 2 * two * three)
    assert anchoring.private.schema_of(aten.addcmul.default).name == "aten::addcmul"
    assert anchoring.private.schema_of(torch.sin) is None


def test_pytorch_flattens_and_maps_trees() -> None:
    pytree: Any = anchoring.private.pytree
    tree = {"a": (torch.zeros(1), [torch.ones(2)]), "b": torch.ones(3)}
    leaves, spec = pytree.tree_flatten(tree)
    assert [len(leaf) for leaf in leaves] == [1, 2, 3]
    assert pytree.tree_unflatten([1, 2, 3], spec) == {"a": (1, [2]), "b": 3}
    assert pytree.tree_map(len, tree) == {"a": (1, [2]), "b": 3}


def doors(text: str) -> list[int]:
    """The lines that import other people's modules or names that are not public."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [part for name in names if name != "__future__.annotations" for part in name.split(".")]
        if any(part.startswith("_") and not part.startswith("__") for part in parts):
            found.append(node.lineno)
    return found


def test_imports_of_what_is_not_public_are_in_one_place() -> None:
    files = [file for wing in ("anchoring", "excolor", "study", "analysis") for file in (ROOT / wing).rglob("*.py")]
    found = {file.relative_to(ROOT).as_posix() for file in files if doors(file.read_text("utf-8"))}
    assert found == DOORS
    assert doors("from a._b import c")
    assert doors("import a\nfrom b import _c") == [2]
    assert doors("def f():\n    import a._b.c") == [2]


def ours() -> Iterator[ModuleType]:
    for wing in (anchoring, excolor, study, analysis):
        for module in pkgutil.walk_packages(wing.__path__, f"{wing.__name__}."):
            if not module.name.endswith("__main__"):
                yield importlib.import_module(module.name)


def overridden(kind: type) -> list[str]:
    """The names of a class that are not public and are names of other people's classes below it, too."""
    written = {name for name, value in vars(kind).items() if inspect.isroutine(value) or isinstance(value, property)}
    names = [name for name in written if name.startswith("_") and not name.endswith("_")]
    wings = tuple(wing.__name__ for wing in (anchoring, excolor, study, analysis))
    foreign = [base for base in kind.__mro__[1:] if not base.__module__.startswith(wings) and base is not object]
    return [f"{kind.__name__}.{name}" for name in names if any(name in vars(base) for base in foreign)]


def test_what_is_overridden_is_listed() -> None:
    """A name of ours could be a library's by chance, too."""
    kinds = {kind for module in ours() for _, kind in inspect.getmembers(module, inspect.isclass)}
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] in ("anchoring", "excolor", "study", "analysis")]
    assert len(own) > 50
    found = {name for kind in own for name in overridden(kind)}
    assert found == OVERRIDDEN
