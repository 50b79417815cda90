"""The way in and out of gatewayctl: arguments to an exit code, whatever happens to stdout on the way."""

import contextlib
import io
import os
import sys

from gatewayd.ctl.parser import parse

INTERRUPTED = 130  # 128 + SIGINT, as a shell would say


def main(argv: list[str] | None = None) -> int:
    """Do what `argv` says and return the exit code: 0 done, 1 refused or not found, 2 usage, 3 daemon not reachable."""
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        # After parsing: --help, a typing error and the completion script need no HTTP.
        from gatewayd.ctl.verbs import perform

        code = perform(args)
        sys.stdout.flush()  # here, where a failure can still be told, not at the interpreter's end
    except SystemExit as stop:  # argparse: --help, or a usage error that it has already printed
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `gatewayctl sessions --all | head`: the reader has what it wanted
        _forget_stdout()
        return 0
    except OSError as error:  # a full disk behind stdout; every other OSError has become a sentence of its own
        _forget_stdout()
        print(f"gatewayctl: cannot write the output: {error.strerror or error}", file=sys.stderr)
        return 1
    return code


def run() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a Latin-1 terminal shows \u2026, not a traceback
    sys.exit(main())


def _forget_stdout() -> None:
    """Point stdout at nothing: Python flushes it once more at exit and would complain again."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a stdout without a descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
