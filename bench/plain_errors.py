"""What a bench cannot do, in a sentence, and numbers that its options take."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stream.cli.errors import describe_error
from stream.cli.exit_codes import ExitCode


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with a sentence and an exit code of ``nextbasket`` where an error is an expected one, or by Ctrl-C.

    A mistake in the bench keeps its traceback, and so does everything where NEXTBASKET_LOG_LEVEL is debug. A process
    that it started has said by itself why it ended.
    """
    try:
        yield
    except subprocess.CalledProcessError as error:
        print(f"Ended with {error.returncode}, see above: {shlex.join(error.cmd)}", file=sys.stderr)
        raise SystemExit(int(ExitCode.INTERNAL)) from None
    except (Exception, KeyboardInterrupt) as error:
        code, sentence = describe_error(error)
        if code is ExitCode.INTERNAL or os.environ.get("NEXTBASKET_LOG_LEVEL", "").lower() == "debug":
            raise
        print(sentence, file=sys.stderr)
        raise SystemExit(int(code)) from None


def positive(text: str) -> int:
    """The whole number of an option, at least 1.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)
