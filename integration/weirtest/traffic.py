"""HTTP requests through a data plane, once or without pause."""

import http.client
import threading
import time


def fetch(port, path="/", tls=None, timeout=5.0):
    """(status, body) of one GET to 127.0.0.1:`port`; (0, reason) when there is no HTTP answer."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    else:
        connection = http.client.HTTPSConnection("localhost", port, timeout=timeout, context=tls)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


class Traffic:
    """Requests one after another in a thread, for the length of a `with` block; every answer is kept."""

    def __init__(self, port, path="/"):
        self.port, self.path = port, path
        self.answers = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            self.answers.append(fetch(self.port, self.path))
            time.sleep(0.002)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *details):
        self._stop.set()
        self._thread.join(10)

    @property
    def failures(self):
        return [answer for answer in self.answers if answer[0] != 200]
