"""What is seen of training while it runs."""

from lanewise.training.task import Progress
from tests.cli.conftest import FAST, run


def report(epoch, seconds, *, done=True, fraction=0.5):
    return Progress(epoch, 4, fraction, 0.5, 0.75, None, 0.8, 0.1, 1234.5, seconds, 3.0, done)


def epochs_shown(result):
    return [line.split()[1] for line in result.stdout.splitlines() if line.startswith("Epoch")]


def test_lines_come_every_two_seconds_and_at_the_end(photos, fake):
    fake.reports = [report(1, 0.1), report(2, 1.0), report(2, 2.0, done=False), report(3, 2.3), report(4, 2.4)]
    result = run("train", photos, *FAST)
    assert epochs_shown(result) == ["1/4", "3/4", "4/4"]
    assert "loss 0.5000  accuracy 75.0 %  validation 80.0 %  1,234 images/s  3.0 s left" in result.stdout


def test_long_epochs_are_told_in_parts(photos, fake):
    fake.reports = [report(1, float(second), done=False) for second in range(1, 31)]
    assert epochs_shown(run("train", photos, *FAST)) == ["1/4"] * 3


def test_a_terminal_gets_a_bar(photos, fake, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm-256color")
    fake.reports = [report(2, 1.0)]
    shown = run("train", photos, *FAST).stdout
    assert "━" in shown
    assert "50 %" in shown
    assert "3.0 s left" in shown
    assert "Ctrl-C stops and keeps the best model so far" in shown
