"""A child process with its output in a file: started, watched, stopped by its own id."""

import os
import subprocess
from pathlib import Path

from weirtest.waiting import eventually


class Process:
    """Runs `arguments`; standard output and error go to `log`."""

    def __init__(self, arguments, log, environment=None, cwd=None, passed=()):
        self.arguments = [str(argument) for argument in arguments]
        self.log_path = Path(log)
        command, inherited = self.arguments, []
        if passed:
            # A shell puts them on descriptors 3, 4, ..., knows its own process id, and becomes the program.
            inherited = [each.fileno() for each in passed]
            moves = " ".join(f"{10 + i}<&{number}" for i, number in enumerate(inherited))
            places = " ".join(f"{3 + i}<&{10 + i}" for i in range(len(inherited)))
            closes = " ".join(f"{10 + i}<&-" for i in range(len(inherited)))
            script = f"exec {moves}; exec {places}; exec {closes}; LISTEN_FDS={len(passed)} LISTEN_PID=$$ exec \"$@\""
            command = ["bash", "-c", script, "bash", *self.arguments]
        with open(self.log_path, "ab") as output:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd,
                env={**os.environ, **(environment or {})}, pass_fds=inherited)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def tail(self, lines=40):
        return "\n".join(self.log.splitlines()[-lines:])

    def wait_log(self, *texts, timeout=10.0):
        """Waits until the log has a line with all `texts`; returns it."""
        return eventually(
            lambda: next((line for line in self.log.splitlines() if all(text in line for text in texts)), None),
            lambda: f"{texts} in the log, which ends:\n{self.tail()}", timeout, 0.05)

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout):
        """The exit status, waiting for it."""
        return self.popen.wait(timeout)

    def kill(self):
        """Ends the process at once, if it still runs."""
        if self.running:
            self.popen.kill()
        self.popen.wait(10)
