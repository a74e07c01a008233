"""What a machine, a container, a scheduler and other people's settings do to a study: nothing, or one line that helps."""

import io
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import study
from anchoring import InputError
from study import surroundings
from study.cli.answer import as_json
from study.record.folder import StudyFolder
from study.search.plan import Plan
from study.surroundings import LONGEST, alone, cpus, expect_room, have_a_home, memory, socket_folder
from study.watch.report import write_report
from study.watch.screen import Screen
from tests.conftest import nobody_known

GIB = 2**30
V1, V2 = "4:memory:/a/b\n3:cpu,cpuacct:/a/b\n2:pids:/a/b\n0::/\n", "0::/a/b\n"

LAUNCHERS = {
    "SLURM": {f"SLURM_{name}": "0" for name in ("JOB_ID", "PROCID", "LOCALID", "NODEID")}
    | {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "sweep"},
    "LSF": {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/none", "JSM_NAMESPACE_SIZE": "4", "JSM_NAMESPACE_RANK": "1"},
    "torchrun": {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "x", "TORCHELASTIC_RUN_ID": "x"},
    "MPI": {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "PMI_RANK": "1", "PMIX_RANK": "1"},
    "Lightning's defaults": {"PL_TRAINER_FAST_DEV_RUN": "1", "PL_TRAINER_DEVICES": "2", "PL_GLOBAL_SEED": "7"},
}


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give this process control groups: what its list of them says, and files by their paths."""
    monkeypatch.setattr(surroundings, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(surroundings, "OWN_CGROUPS", tmp_path / "own")

    def give(own: str, **files: str) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return give


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (V2, {"a__b__memory.max": "1073741824", "a__b__cpu.max": "150000 100000"}),
        (V2, {"a__b__memory.max": "max", "a__memory.max": "1073741824", "a__cpu.max": "199999 100000"}),
        (V2, {"memory.max": "1073741824", "cpu.max": "100000 100000", "a__cpu.max": "max 100000"}),
        (
            V1,
            {
                "memory__a__b__memory.limit_in_bytes": "1073741824",
                "cpu__a__cpu.cfs_quota_us": "150000",
                "cpu__a__cpu.cfs_period_us": "100000",
                "cpu__a__b__cpu.cfs_quota_us": "-1",
                "cpu__a__b__cpu.cfs_period_us": "100000",
            },
        ),
    ],
)
def test_a_containers_quota_is_seen(cgroups: Any, own: str, files: dict[str, str]) -> None:
    cgroups(own, **files)
    assert memory() == GIB
    assert cpus() == Plan().workers == 1


@pytest.mark.parametrize("own", [V1, V2, ""])
def test_without_a_quota_it_is_the_machines(cgroups: Any, own: str) -> None:
    cgroups(own, **{"a__cpu.max": "max 100000", "a__memory.max": "max", "memory__a__memory.limit_in_bytes": str(2**63)})
    assert cpus() == len(os.sched_getaffinity(0))
    assert memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_a_real_quota_is_seen() -> None:
    """A control group of our own, if we may make one."""
    one = Path("/sys/fs/cgroup/cpu")
    group = (one if one.is_dir() else one.parent) / f"study-{os.getpid()}"
    group.mkdir()
    try:
        quota = {"cpu.cfs_quota_us": "100000"} if one.is_dir() else {"cpu.max": "100000 100000"}
        for name, text in quota.items():
            (group / name).write_text(text)
        script = f"echo $$ > {group}/cgroup.procs; {sys.executable} -c 'from study import Plan; print(Plan().workers)'"
        assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == "1\n"
    finally:
        group.rmdir()


def test_room_for_processes_is_checked(cgroups: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR")
    cgroups(V1, **{"pids__a__pids.max": "60", "pids__a__pids.current": "9"})
    with pytest.raises(InputError, match=r"^pids.max of the container: found room for 51 more processes and threads"):
        expect_room(1)
    cgroups(V1, **{"pids__a__pids.max": "max"})
    expect_room(1)


def test_room_for_addresses_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8_000_000_000, before[1]))
    try:
        with pytest.raises(InputError, match="room for 8,000,000,000 bytes of addresses, expected"):
            expect_room(1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_study_without_room_is_not_begun(spaces: Path, say: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "absent"))
    said, code = say("run", spaces / "hue.toml", "--out", tmp_path / "runs")
    assert code == 2
    assert said.count("\n") == 1
    assert said.startswith("error: RAY_TMPDIR: found ")
    assert not (tmp_path / "runs").exists()


def test_the_folder_for_sockets_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR")
    assert len(str(tmp_path)) > LONGEST
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(str(socket_folder())) <= LONGEST
    monkeypatch.setattr("tempfile.tempdir", "/dev")
    assert socket_folder() == Path("/dev")
    monkeypatch.setenv("RAY_TMPDIR", "/var/tmp")
    assert socket_folder() == Path("/var/tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(InputError, match="at most 31 characters, for sockets"):
        socket_folder()


@pytest.mark.parametrize("variables", LAUNCHERS.values(), ids=LAUNCHERS.keys())
def test_a_trial_is_alone(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.pytorch import Trainer

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with alone():
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
        assert isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)
        assert (trainer.world_size, trainer.global_rank) == (1, 0)
        assert not trainer.fast_dev_run  # type: ignore[attr-defined]
    assert all(os.environ[name] == value for name, value in variables.items())


@pytest.mark.parametrize("variables", LAUNCHERS.values(), ids=LAUNCHERS.keys())
def test_a_setting_is_trained_the_same(
    spaces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str]
) -> None:
    asked: dict[str, Any] = {"seeds": 2, "steps": 20, "rungs": 1, "compiled": False, "out": tmp_path}
    before = study.train(spaces / "subspace-ablation.toml", **asked).replicas()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert study.train(spaces / "subspace-ablation.toml", **asked).replicas().equals(before)


def have_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of Jupyter, IPython, matplotlib and Python that would break a report, or make another."""
    kernel, template = tmp_path / "jupyter/kernels/python3", tmp_path / "jupyter/nbconvert/templates/basic"
    profile = tmp_path / "ipython/profile_default"
    for folder in (kernel, template, profile):
        folder.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/absent"], "display_name": "", "language": "python"}')
    (template / "conf.json").write_text('{"base_template": "absent"}')
    (profile / "ipython_config.py").write_text("c.InteractiveShellApp.exec_lines = ['1 / 0']")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\n")
    (tmp_path / "startup.py").write_text("1 / 0")
    settings = {
        "JUPYTER_PATH": "jupyter",
        "IPYTHONDIR": "ipython",
        "MATPLOTLIBRC": "matplotlibrc",
        "PYTHONSTARTUP": "startup.py",
    }
    for name, file in settings.items():
        monkeypatch.setenv(name, str(tmp_path / file))
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")


@pytest.mark.live
def test_a_report_is_made_with_nobodys_settings(
    hue: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report() -> str:
        return re.sub("cell-id=[0-9a-f]*", "", write_report(hue).read_text())

    without = report()
    have_settings(tmp_path, monkeypatch)
    assert report() == without


def test_a_sign_that_cannot_be_shown_is_a_question_mark() -> None:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="ascii")
    screen = Screen(file=file)
    screen.print("0.9 ± 0.1, größe", highlight=False)
    file.flush()
    assert written.getvalue() == b"0.9 ? 0.1, gr??e\n"
    assert as_json({"größe": "±"}) == '{\n  "gr\\u00f6\\u00dfe": "\\u00b1"\n}'


ASCII = ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})


@pytest.mark.parametrize("variables", ASCII)
def test_a_command_speaks_ascii(hue: StudyFolder, variables: dict[str, str]) -> None:
    command = [sys.executable, "-m", "study", "show", str(hue.path), "0"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, check=True)
    assert b"Schedule" in done.stdout
    assert done.stdout.isascii()


def test_colours_in_a_log_move_no_cursor() -> None:
    log = io.StringIO()
    screen = Screen(file=log, _environ={"FORCE_COLOR": "1", "TERM": "xterm"})
    assert not screen.is_live
    with screen.progress("working"):
        screen.print("[red]said[/]")
    assert log.getvalue() == "\x1b[31msaid\x1b[0m\n"


def test_a_compiler_that_cannot_compile_is_said_once_and_recorded(
    spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "c++"
    fake.write_text("#!/bin/sh\ncase $* in *-E*|--version) exit 0;; esac\necho 'x.cpp:1: error: no room' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    folder = study.train(spaces / "subspace-ablation.toml", seeds=1, steps=20, compiled=True, out=tmp_path / "runs")
    assert folder.plan().compiled is False
    said = capsys.readouterr().out
    assert said.count("cannot compile the step: no room: training runs eagerly, several times slower") == 1


def test_a_service_without_standard_streams_gets_some(tmp_path: Path) -> None:
    """So do the processes that it starts, such as a notebook's kernel."""
    child = f"import sys; open({str(tmp_path / 'missing')!r}, 'w').write(str((sys.stdin, sys.stdout, sys.stderr).count(None)))"
    look = (
        "import subprocess, sys; from study.surroundings import open_streams; open_streams(); print(1, file=sys.stderr)"
    )
    look += f"; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", look], check=True)
    assert (tmp_path / "missing").read_text() == "0"


def test_a_machine_without_loopback_is_said() -> None:
    """So it is in a namespace of its own. Ray would wait for minutes."""
    surroundings.expect_loopback()  # the positive control
    check = "from study.surroundings import expect_loopback; expect_loopback()"
    done = subprocess.run(["unshare", "-rn", sys.executable, "-c", check], capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("cannot make a namespace")
    assert re.search(r"InputError: 127.0.0.1: .+, expected a loopback interface", done.stderr.splitlines()[-1])


WIDTHS = {"COLUMNS": "0", "TERM": "dumb"}, {"COLUMNS": "3"}


@pytest.mark.parametrize("variables", WIDTHS)
@pytest.mark.parametrize(
    ("arguments", "said"), [(["--help"], "survey"), (["show", "nowhere", 0], "found no study"), (["show"], "Usage")]
)
def test_what_is_no_width_is_ignored(variables: dict[str, str], arguments: list[Any], said: str) -> None:
    """Some programs claim that a terminal has 0 columns. Nothing would be printed, then."""
    done = run_as(variables, *arguments)
    assert said in done.stdout + done.stderr


def test_a_width_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, width in {"0": 80, "40": 40, "9": 80, "x": 80}.items():
        monkeypatch.setenv("COLUMNS", given)
        assert Screen(file=io.StringIO()).width == width


def test_a_user_of_whom_the_system_knows_nothing_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users without an entry in passwd. Without HOME, too, Ray cannot be imported."""
    had = Path.home()
    have_a_home()
    assert Path.home() == had != Path("/")
    nobody_known(monkeypatch)
    with pytest.raises(RuntimeError, match="home"):
        Path.home()
    have_a_home()
    assert Path.home() == Path("/")


def test_a_current_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    done = run_as({}, "show", "x", 0, before="import os; os.rmdir(os.getcwd())", cwd=folder)
    assert done.returncode == 2
    assert re.fullmatch(r"error: the current folder: .*, expected one that exists \(cd to another\)\n", done.stderr)


@pytest.mark.parametrize("arguments", [["show", "~nobody-here/x", 0], ["run", "~nobody-here/x.toml"]])
def test_a_home_that_nobody_has_is_said(say: Any, arguments: list[Any]) -> None:
    said, code = say(*arguments)
    assert code == 2
    assert said.startswith("error: ~nobody-here/x")
    assert "expected a path without ~" in said
    assert surroundings.expanded("~") == Path.home()


def run_as(
    variables: dict[str, str], *arguments: Any, before: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with some variables."""
    code = f"{before}\nimport sys; from study.cli import main; sys.argv[0] = 'study'; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    root = str(Path(study.__file__).parent.parent)
    environment |= {"NO_COLOR": "1", "PYTHONPATH": root, **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
