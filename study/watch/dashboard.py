"""A study in optuna-dashboard, which follows its journal while the study runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial

from study.record.folder import StudyFolder
from study.record.mirror import url_of
from study.search import journal

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class _ShowsConstraints(JournalStorage):
    """A journal whose trials have their constraints where optuna-dashboard looks for them: in a list, as before
    Optuna 5."""

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy, states)
        for trial in trials:
            if "constraints" not in trial.system_attrs and (broken := trial.constraints):
                finite = [min(violation, sys.float_info.max) for violation in broken.values()]  # JSON has no infinity
                trial.system_attrs["constraints"] = finite
        return trials


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Print nothing for each request."""


def server(folder: StudyFolder, port: int) -> WSGIServer:
    """A server of the dashboard on the loopback interface. Port 0 takes any free port.

    The journal is the study's record and may be in use, so the server refuses requests that change it. It accepts only
    notes, and not even these for a working copy of a study at a URL.

    Raises ModuleNotFoundError without optuna-dashboard, and OSError if the port is taken.
    """
    from optuna_dashboard import wsgi

    app = _guarded(wsgi(journal.storage(folder.path, _ShowsConstraints)), notes=url_of(folder.path.parent) is None)
    return make_server("127.0.0.1", port, app, server_class=_Server, handler_class=_Quiet)


def _guarded(app: WSGIApplication, notes: bool) -> WSGIApplication:
    def guarded(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if request["REQUEST_METHOD"] in ("GET", "HEAD") or (notes and request["PATH_INFO"].endswith("/note")):
            return app(request, start)
        start("403 Forbidden", [("Content-Type", "application/json")])
        return [b'{"reason": "This dashboard is read-only; use the command line to change the study."}']

    return guarded
