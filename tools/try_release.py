"""Use the files of a release as a user would: in an environment of its own, away from the repository."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

# After the demo, with a picture of it.
COMMANDS = (
    "vrcodec models",
    "vrcodec encode demo-output/photo.png -o photo.vrc --verify",
    "vrcodec info photo.vrc",
    "vrcodec verify --full photo.vrc",
    "vrcodec decode photo.vrc -o decoded.png",
    "vrcodec decode photo.vrc -o part.jpg --crop 100,100,64,64",
    "vrcodec doctor",
)


def main(folder: Path) -> None:
    """Install the wheel that lies in ``folder``, run the demo of the sdist beside it, and try the commands.

    Raises CalledProcessError when anything of that fails.
    """
    (wheel,), (source,) = (list(folder.resolve().glob(kind)) for kind in ("*.whl", "*.tar.gz"))
    with tempfile.TemporaryDirectory() as name:
        away = Path(name)
        environment = away / "environment"
        venv.create(environment, with_pip=True)
        programs = environment / ("Scripts" if os.name == "nt" else "bin")
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("VRCODEC", "PYTHON"))}
        variables["PATH"] = os.pathsep.join((str(programs), variables["PATH"]))

        def run(*words: object) -> str:
            print("$", *words, flush=True)
            command = [str(word) for word in words]
            done = subprocess.run(
                command, cwd=away, env=variables, check=True, stdout=subprocess.PIPE, text=True
            )
            print(done.stdout, end="", flush=True)
            return done.stdout

        run("python", "-m", "pip", "install", "--quiet", f"{wheel}[demo]")
        version = wheel.name.split("-")[1]
        if run("vrcodec", "--version").split()[-1] != version:
            sys.exit(f"{wheel.name} is not of the version that it is named for")
        with tarfile.open(source) as archive:
            archive.extractall(away, filter="data")
        run("python", away / f"vrcodec-{version}" / "benchmarks" / "demo.py")
        for command in COMMANDS:
            run(*shlex.split(command))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
