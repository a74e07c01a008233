"""The examples in the method's docstrings do what they say."""

import doctest
import importlib
import pkgutil
from typing import Any

import pytest
import torch
from torch import nn

import anchoring
import excolor

MODULES = [
    module.name
    for package in (anchoring, excolor)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]
WITH_EXAMPLES = {
    *("anchoring.ablation", "anchoring.data", "anchoring.dopesheet", "anchoring.erasure", "anchoring.errors"),
    *("anchoring.experiment", "anchoring.fitting", "anchoring.labels", "anchoring.layers", "anchoring.probes"),
    *("anchoring.relearning", "anchoring.replicas", "anchoring.setting", "anchoring.terms", "anchoring.training"),
    *("excolor.colors", "excolor.concepts", "excolor.examination", "excolor.experiment", "excolor.metrics"),
    *("excolor.models", "excolor.setting"),
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: Any) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    ran = doctest.testmod(importlib.import_module(name), optionflags=flags, extraglobs={"torch": torch, "nn": nn})
    assert ran.failed == 0
    assert ran.attempted or name not in WITH_EXAMPLES
