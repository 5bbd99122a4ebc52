"""The `equipoise` command, also as `python -m equipoise`."""


def main() -> None:
    """Run the command line."""
    import sys

    from .cli import app

    for stream in (sys.stdout, sys.stderr):
        # names that the terminal's encoding does not have are escaped; they are no reason to break off
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    app()


if __name__ == "__main__":
    main()
