"""What failed beside others runs once more by itself; what fails again, or is too much, fails the run."""

BESIDE_OTHERS = "assert 'PYTEST_XDIST_WORKER' not in os.environ"


def test_what_passes_by_itself_passes_and_is_named(run):
    """The run passes; whoever reads its end knows which test needed the second run."""
    ended = run("-n", "2", first=BESIDE_OTHERS, second="pass")
    assert ended.returncode == 0, ended.stdout
    end = ended.stdout[ended.stdout.rindex("suite: ") :]
    assert "failed beside others and passed by themselves" in end
    assert "test_first.py::test_first" in end
    assert "test_second" not in end


def test_what_fails_again_fails_the_run(run):
    """One test that fails by itself too is enough."""
    ended = run("-n", "2", first=BESIDE_OTHERS, second="assert False")
    assert ended.returncode == 1, ended.stdout
    assert "2 failed; once more" in ended.stdout
    assert "1 failed, 1 passed" in ended.stdout
    assert "to be mended" not in ended.stdout


def test_many_failures_are_no_moment_of_the_machine(run):
    """More than a few fail the run at once."""
    ended = run("-n", "2", **{f"n{number}": BESIDE_OTHERS for number in range(6)})
    assert ended.returncode == 1, ended.stdout
    assert "once more" not in ended.stdout


def test_a_file_that_cannot_be_collected_fails_the_run(run):
    """There is nothing to run again."""
    ended = run("-n", "2", first=BESIDE_OTHERS, broken="pass\nraise ImportError")
    assert ended.returncode != 0
    assert "once more" not in ended.stdout
