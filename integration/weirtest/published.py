"""A copy of configs/ that can be run: on free ports, with certificates beside it."""

import re
import shutil

from weirtest import weir as weir_module
from weirtest.ports import free_port

#: Ports that the published configurations listen on: weir, its debug endpoint, where it takes snapshots, Envoy's
#: listener, Envoy's admin page.
PORTS = (18000, 9901, 18080, 10000, 19000)


class Published:
    """The copy, in `folder`; `ports` has the free port of each published one, `replace` says what else is different."""

    def __init__(self, folder, replace=None):
        self.folder = folder
        self.ports = {number: free_port() for number in PORTS}
        source = weir_module.ROOT / "configs"
        for path in [*source.rglob("*.yaml"), *source.glob("*.json")]:
            text = path.read_text()
            for old, new in (replace or {}).items():
                text = text.replace(old, new)
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self.moved(text))

    def moved(self, text):
        """`text` with the ports of this copy in place of the published ones."""
        return re.sub(r"\b(18000|9901|18080|10000|19000)\b", lambda found: str(self.ports[int(found[0])]), text)

    def published(self, text):
        """`text` with the published ports in place of those of this copy."""
        numbers = {str(port): str(number) for number, port in self.ports.items()}
        return re.sub(rf"\b({'|'.join(numbers)})\b", lambda found: numbers[found[0]], text)

    def add_pair(self, name, pair):
        """Puts a certificate and its key beside the configurations, as NAME.crt and NAME.key."""
        shutil.copy(pair.certificate, self.folder / f"{name}.crt")
        shutil.copy(pair.key, self.folder / f"{name}.key")
