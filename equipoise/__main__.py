"""The `equipoise` command, also as `python -m equipoise`."""


def main() -> None:
    """Run the command line."""
    from .cli import app

    app()


if __name__ == "__main__":
    main()
