"""Ray nodes on one machine that are apart: each in a network namespace of its own, joined by a bridge in another."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
CAN = os.geteuid() == 0 if hasattr(os, "geteuid") else False
CAN = CAN and all(map(shutil.which, ("ip", "unshare", "mount")))


def ip(*arguments: Any) -> Any:
    return subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class Network:
    """Namespaces, and the Ray nodes that run in them behind a token. On leaving it, all are gone."""

    def __enter__(self) -> Any:
        self.folder = Path(tempfile.mkdtemp(prefix="hs", dir="/tmp"))  # sockets want short paths
        self.token = self.folder / "token"
        self.token.write_text("0123456789abcdef" * 4)
        self.hosts: dict[str, Any] = {}
        self.processes: list[Any] = []
        self.switch = self._namespace("switch")
        ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.switch, "link", "set", "bridge", "up")
        return self

    def __exit__(self, *_: Any) -> None:
        for name in list(self.hosts):
            self.kill(name)
            ip("netns", "del", self.hosts[name])
        for process in self.processes:
            process.wait(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def node(self, name: Any, *options: Any, hide: Any = (), **environment: Any) -> None:
        """Start a Ray node, from which the folders to hide are hidden, in a new namespace, and wait until it is up."""
        number = self.host(name)
        temporary = self.folder / name
        role = ["--head", "--port=6379"] if number == 1 else ["--address=10.77.0.1:6379"]
        start = [
            *RAY,
            "start",
            "--block",
            *role,
            f"--node-ip-address=10.77.0.{number}",
            f"--temp-dir={temporary}",
            *options,
        ]
        hiding = "".join(f"mount -t tmpfs none {folder} && " for folder in hide)
        command = ["unshare", "--mount", "sh", "-c", hiding + 'exec "$@"', "sh", *start]
        self.processes.append(self.popen(name, command, self.folder / f"{name}.log", **environment))
        end = time.monotonic() + 180
        while not list(temporary.glob("session_2*/sockets/raylet*")):
            assert time.monotonic() < end, (self.folder / f"{name}.log").read_text()
            time.sleep(0.2)

    def host(self, name: Any) -> Any:
        """Make a namespace that is connected to the others; returns its number N, for 10.77.0.N."""
        namespace, number = self._namespace(name), len(self.hosts) - 1
        ip("link", "add", "port" + name, "netns", self.switch, "type", "veth", "peer", "eth0", "netns", namespace)
        ip("-n", self.switch, "link", "set", "port" + name, "master", "bridge", "up")
        ip("-n", namespace, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        return number

    def popen(
        self,
        name: Any,
        command: Any,
        log: Any,
        cwd: Any = None,
        **environment: Any,
    ) -> Any:
        """A process in a node's namespace that has the token."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        clean["PATH"] = f"{Path(sys.executable).parent}:{clean['PATH']}"
        auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token), "RAY_USAGE_STATS_ENABLED": "0"}
        with log.open("w") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.hosts[name], *map(str, command)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**clean, **auth, **environment},
                cwd=cwd or self.folder,
            )

    def kill(self, name: Any) -> None:
        """-9 to everything in a node's namespace, until nothing is there."""
        end = time.monotonic() + 60
        while (pids := ip("netns", "pids", self.hosts[name]).split()) and time.monotonic() < end:
            subprocess.run(["kill", "-9", *pids], check=False, capture_output=True)
            time.sleep(0.1)

    def _namespace(self, name: Any) -> Any:
        self.hosts[name] = f"hs-{os.getpid()}-{name}"
        ip("netns", "add", self.hosts[name])
        ip("-n", self.hosts[name], "link", "set", "lo", "up")
        return self.hosts[name]
