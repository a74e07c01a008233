"""A study in optuna-dashboard, which reads its journal as the study writes it."""

from __future__ import annotations

from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from study.record.folder import StudyFolder
from study.record.mirror import url_of
from study.search import journal

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """A line for each request helps nobody."""


def server(folder: StudyFolder, port: int) -> WSGIServer:
    """A server of the dashboard on the loopback interface; port 0: any that is free.

    It takes notes, unless the study is a working copy of one at a URL, and refuses whatever else would write into the
    journal, which is the study's record and may be in use. Raises ModuleNotFoundError without optuna-dashboard, and
    OSError if the port is taken.
    """
    from optuna_dashboard import wsgi

    app = _guarded(wsgi(journal.storage(folder.path)), notes=url_of(folder.path.parent) is None)
    return make_server("127.0.0.1", port, app, server_class=_Server, handler_class=_Quiet)


def _guarded(app: WSGIApplication, notes: bool) -> WSGIApplication:
    def guarded(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if request["REQUEST_METHOD"] in ("GET", "HEAD") or (notes and request["PATH_INFO"].endswith("/note")):
            return app(request, start)
        start("403 Forbidden", [("Content-Type", "application/json")])
        return [b'{"reason": "A study of this project is not changed here."}']

    return guarded
