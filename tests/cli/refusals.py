"""Wrong commands: one sentence, and exit code 2."""


def refused(result, sentence):
    """Check the (exit code, stdout, stderr) of a wrong command."""
    code, _, err = result
    assert code == 2
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
