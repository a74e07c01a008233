"""Adds to a wheel the search spaces, and the notebooks without their outputs, which take megabytes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Data(BuildHookInterface):
    """Puts search_spaces/ and the stripped notebooks of analysis/ into a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        build_data["force_include"][str(Path(self.root, "search_spaces"))] = "excolor/search_spaces"
        self.folder = tempfile.TemporaryDirectory()
        for path in Path(self.root, "analysis").glob("*.ipynb"):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell |= {"outputs": [], "execution_count": None}
            stripped = Path(self.folder.name, path.name)
            stripped.write_text(json.dumps(notebook), encoding="utf-8")
            build_data["force_include"][str(stripped)] = f"analysis/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self.folder.cleanup()
