"""`study dashboard`: a study in optuna-dashboard."""

from __future__ import annotations

from typing import Annotated

import typer

from anchoring.errors import InputError
from study.cli.options import Out, StudyName, app, open_folder
from study.watch.screen import console


@app.command(epilog="Example: study dashboard mine-001")
def dashboard(
    study: StudyName,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve it; 0 is any that is free.")] = 8080,
    out: Out = "runs",
) -> None:
    """Show a study, live or finished, in optuna-dashboard, to this machine's browsers alone. Ctrl-C ends it.

    Notes may be taken there; nothing else of the study can be changed.
    """
    from study.watch.dashboard import server

    folder = open_folder(study, out)
    try:
        serving = server(folder, port)
    except ModuleNotFoundError:
        raise InputError("found no optuna-dashboard, expected this extra: pip install optuna-dashboard") from None
    except OSError as error:
        raise InputError(f"--port: {port} cannot be served ({error.strerror}), expected a free one, or 0") from None
    with serving:
        address = f"{folder.path}: http://127.0.0.1:{serving.server_port}"
        console.print(address, soft_wrap=True, highlight=False, markup=False)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            console.print("ended")
