"""Help, exit status and errors of the command itself."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

import lanewise
from lanewise.cli.group import lanewise as group
from lanewise.errors import LanewiseError, ProgramError
from tests.cli.conftest import failed, misused, run

COMMANDS = ("train", "predict", "evaluate", "inspect")


def test_help_names_every_command_in_order():
    result = run("--help")
    assert result.exit_code == 0
    places = [result.stdout.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name):
    assert run(name, "--help").stdout == run(name, "-h").stdout
    assert run(name, "--help").stdout.startswith(f"Usage: lanewise {name} ")


@pytest.mark.parametrize("arguments", [[], ["train"], ["inspect"]])
def test_nothing_gets_help_and_status_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: lanewise" in result.stderr
    assert "--help" in result.stderr


def test_version():
    assert run("--version").stdout == f"lanewise {lanewise.__version__}\n"


def test_an_unknown_command_is_one_line():
    assert "'trian'" in misused(run("trian", "digits"))


def test_an_unknown_option_is_one_line_that_says_where_help_is():
    assert misused(run("predict", "m.onnx", "a.png", "--tpo", "3")).endswith("See: lanewise predict --help\n")


def test_help_comes_without_heavy_imports():
    code = (
        "import sys; sys.argv = ['lanewise', 'train', '--help']\n"
        "from lanewise.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'rich', 'onnx', 'llvmlite', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_lanewise_is_the_command():
    done = subprocess.run([sys.executable, "-m", "lanewise", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"lanewise {lanewise.__version__}\n"


def test_a_failure_is_one_line_without_traceback_in_a_real_process():
    done = subprocess.run(
        [sys.executable, "-m", "lanewise", "train", "no/such/folder"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "lanewise: no such folder: no/such/folder\n"


def raising(error):
    def command(*arguments, **options):
        raise error

    return command


def test_every_error_of_ours_is_a_line(monkeypatch):
    monkeypatch.setattr(group.commands["inspect"], "callback", raising(LanewiseError("the culprit, and a way out")))
    assert failed(run("inspect", "x")) == "lanewise: the culprit, and a way out\n"


def test_a_fault_in_lanewise_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(group.commands["inspect"], "callback", raising(ProgramError("a register read too late")))
    with pytest.raises(ProgramError):
        run("inspect", "x")


def test_ctrl_c_is_status_130(monkeypatch):
    monkeypatch.setattr(group.commands["inspect"], "callback", raising(KeyboardInterrupt()))
    result = run("inspect", "x")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("lanewise: stopped\n")


def test_a_closed_pipe_is_quiet(photos_model, tmp_path):
    """As in `lanewise inspect model.onnx | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lanewise", "inspect", str(photos_model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert errors == b""


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
@pytest.mark.parametrize("name", ["", *group.commands])
def test_help_fits_the_terminal(name, columns):
    words = [name, "--help"] if name else ["--help"]
    narrow = CliRunner().invoke(group, words, terminal_width=columns - 2).stdout
    examples = "  lanewise "  # to be copied as a whole
    assert [line for line in narrow.splitlines() if len(line) > columns and not line.startswith(examples)] == []
    wide = CliRunner().invoke(group, words, terminal_width=100).stdout
    assert sorted(narrow.split()) == sorted(wide.split()) or "".join(narrow.split()) == "".join(wide.split())


def test_a_former_name_of_an_option_says_once_that_it_is_deprecated():
    result = run("train", "digits", "--smoothing", "2", "--network", "dense 10")
    first, second = result.stderr.splitlines()
    assert first == "lanewise: --smoothing is deprecated and will be removed in the next version: use --label-smoothing"
    assert "label_smoothing must be from 0 to below 1, not 2.0" in second
    assert "deprecated" not in run("train", "digits", "--lr", "-1", "--network", "dense 10").stderr
