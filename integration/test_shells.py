"""What bash, zsh and fish themselves offer at a tab, with the scripts that `weir completion` prints."""

import os
import subprocess

import pytest

from weirtest.weir import command

pytestmark = pytest.mark.relay_only

BASH = """
source ./weir.bash
read -ra COMP_WORDS <<<"$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_weir
printf '%s\\n' "${COMPREPLY[@]}"
"""

# What is offered goes to a file, since the terminal shows only what is common to all of it.
ZSH_CHILD = """
PS1= PS2=
fpath=($PWD $fpath)
autoload -Uz compinit && compinit -u -d $PWD/known
compadd() {
    # Calls with these options only look; the others offer.
    if [[ " ${(j: :)@[1,(i)--]}" != *' '-[AOD]* ]]; then
        local -a found
        builtin compadd -A found "$@"
        print -l -- $found >>offered
    fi
    builtin compadd "$@"
}
offer() {
    _main_complete
    compstate[insert]= compstate[list]=
    : >done
}
zle -C offer complete-word offer
bindkey '^I' offer
"""

# An interactive zsh on a terminal of its own, in which somebody types a line and a tab.
ZSH = """
zmodload zsh/zpty
zpty child zsh -f -i
zpty -w child 'source ./child.zsh'
zpty -w -n child "$1"$'\\t'
repeat 400; do
    [[ -e done ]] && break
    zpty -r -t child >/dev/null
    sleep 0.025
done
[[ -e done ]] || { print -u2 "no answer to the tab"; exit 1 }
[[ ! -e offered ]] || cat offered
"""

FISH = "source ./weir.fish; complete -C $argv[1]"


def bash(folder, line):
    (folder / "weir.bash").write_text(command("completion", "bash").stdout)
    return ["bash", "-c", BASH, "bash", line]


def zsh(folder, line):
    (folder / "_weir").write_text(command("completion", "zsh").stdout)
    (folder / "child.zsh").write_text(ZSH_CHILD)
    for name in ("offered", "done"):
        (folder / name).unlink(missing_ok=True)
    return ["zsh", "-f", "-c", ZSH, "zsh", line]


def fish(folder, line):
    (folder / "weir.fish").write_text(command("completion", "fish").stdout)
    return ["fish", "--no-config", "-c", FISH, line]


def offered(shell, folder, line):
    """The words that a shell offers at the end of a line; without what it tells about them."""
    environment = {**os.environ, "HOME": str(folder), "ZDOTDIR": str(folder), "TERM": "dumb"}
    result = subprocess.run(
        shell(folder, line), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder, timeout=20,
        env=environment)
    assert result.stderr == "", result.stderr
    return sorted(line.split("\t")[0] for line in result.stdout.splitlines() if line)


@pytest.mark.parametrize("shell", [bash, zsh, fish])
def test_a_shell_completes_commands_options_and_values(tmp_path, shell):
    (tmp_path / "relay.yaml").write_text("")
    expected = {
        "weir st": ["status", "store"],
        "weir rollback --t": ["--timeout", "--to", "--token-file", "--type"],
        "weir hold --type l": ["lds", "leds"],
        "weir serve --config re": ["relay.yaml"],
        "weir store in": ["inspect"],
        "weir completion z": ["zsh"],
        "weir help st": ["status", "store"],
        "weir keys --key w": [],
    }
    assert {line: offered(shell, tmp_path, line) for line in expected} == expected


@pytest.mark.parametrize("shell", [bash, zsh, fish])
def test_a_shell_offers_every_command(tmp_path, shell):
    listed = [line.split()[0] for line in command("help").stdout.splitlines()
              if line.startswith("  ") and not line.startswith("  weir ")]
    assert len(listed) > 10
    assert set(listed) <= set(offered(shell, tmp_path, "weir "))
